package config

import (
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// samples are the examples of the reference: a company with a key in an HSM.
func samples() (*Config, *PolicyFile) {
	c := Default()
	key := DefaultKey()
	key.Name = "acme-shop"
	key.URI = "pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/bundlesignd/pin"
	key.PublicKeyPath = "acme-shop.pub.pem"
	key.Apps = []string{"com.acme.shop"}
	key.Custody = signer.NeverExtractable
	c.Keys = []Key{key}
	c.Socket.Group = "bundlesign"
	c.Log.Origin = "example.com/bundlesign"
	return c, &PolicyFile{Rules: []Rule{
		{
			Name: "production-by-release-engineers", Apps: []policy.Glob{"com.acme.*"},
			Channels: []policy.Glob{"production"}, Groups: []policy.Glob{"release"}, Effect: policy.Allow,
		},
		{
			Name: "production-otherwise", Channels: []policy.Glob{"production"}, Effect: policy.Deny,
			Message: "production is released by the release engineers",
		},
		{
			Name: "ci-staging", Apps: []policy.Glob{"com.acme.*"},
			Channels: []policy.Glob{"staging", "pr-*"}, Users: []policy.Glob{"ci"}, Effect: policy.Allow,
		},
	}}
}
