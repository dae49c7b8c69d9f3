# What bundlesignd may do in Vault with the key of its audit log, if that is there: in
# place of policy.hcl, or beside it if one token is for both. The tests of package
# backends/vault use this very file. Put your mount and key in place of transit and
# bundlesign-log, then:
#
#   vault write transit/keys/bundlesign-log type=ed25519
#   vault policy write bundlesignd-log policy-log.hcl

# Sign checkpoints.
path "transit/sign/bundlesign-log" {
  capabilities = ["update"]
}

# See its public half and whether it can be exported. This shows no private key.
path "transit/keys/bundlesign-log" {
  capabilities = ["read"]
}

# The token itself: see whether it is still good, prolong it, end it at shutdown.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
