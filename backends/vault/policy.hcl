# What bundlesignd may do in Vault, and nothing else. The tests of package
# backends/vault use this very file. Put your mount and key in place of
# transit and acme-shop, then:
#
#   vault policy write bundlesignd policy.hcl

# Sign with the key.
path "transit/sign/acme-shop" {
  capabilities = ["update"]
}

# See its public half and whether it can be exported. This shows no private key.
path "transit/keys/acme-shop" {
  capabilities = ["read"]
}

# Random bytes that go into each session key beside the machine's own. Optional.
path "transit/random/2048" {
  capabilities = ["update"]
}

# The token itself: see whether it is still good, prolong it, end it at shutdown.
# Vault's policy "default" has these three too.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
