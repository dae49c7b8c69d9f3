# What whoever makes a key for bundlesignd may do in Vault, and nothing else: for the
# person who runs `bundlesignd key create` or `key import`, not for the daemon. The
# tests of package backends/vault use this very file. Put your mount and key in place
# of transit and acme-shop, then:
#
#   vault policy write bundlesign-maker policy-maker.hcl

# Make the key, if there is none of this name; see its properties. The parameters see to
# it that it cannot be taken out again. (To require the type would forbid reading.)
path "transit/keys/acme-shop" {
  capabilities       = ["read", "update"]
  allowed_parameters = {
    "type"                   = ["rsa-2048"]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }
}

# Make a new version of it.
path "transit/keys/acme-shop/rotate" {
  capabilities       = ["update"]
  allowed_parameters = {}
}

# Bring a private key in, encrypted for the engine's wrapping key, under the same
# conditions. Leave these three out if no key is to be imported.
path "transit/wrapping_key" {
  capabilities = ["read"]
}
path "transit/keys/acme-shop/import" {
  capabilities       = ["update"]
  allowed_parameters = {
    "type"                   = ["rsa-2048"]
    "hash_function"          = ["SHA256"]
    "ciphertext"             = []
    "allow_rotation"         = [false]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }
  required_parameters = ["type", "ciphertext"]
}
path "transit/keys/acme-shop/import_version" {
  capabilities       = ["update"]
  allowed_parameters = {
    "hash_function" = ["SHA256"]
    "ciphertext"    = []
  }
  required_parameters = ["ciphertext"]
}

# Make the test signature.
path "transit/sign/acme-shop" {
  capabilities = ["update"]
}

# The token itself: see whether it is still good, prolong it, end it.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
