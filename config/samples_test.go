package config

import (
	"os"
	"testing"
	"time"

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
	c.TokenIssuers = []TokenIssuer{{
		Name: "github", Issuer: "https://token.actions.githubusercontent.com", Audience: "https://bundlesign.example.com",
	}}
	return c, &PolicyFile{
		Rules: []Rule{
			{
				Name: "production-by-release-engineers", Apps: []policy.Glob{"com.acme.*"},
				Channels: []policy.Glob{"production"}, Groups: []policy.Glob{"release"}, Effect: policy.Approve,
				Approvals: []Requirement{{From: []string{"release"}, Threshold: 1}, {From: []string{"security"}, Threshold: 1, UserVerification: true}},
				Expires:   8 * time.Hour,
				Limits:    RuleLimits{Versions: increasing, Signatures: []SignatureLimit{{Most: 10, Within: 24 * time.Hour, Per: policy.PerApp}}},
			},
			{
				Name: "production-otherwise", Channels: []policy.Glob{"production"}, Effect: policy.Deny,
				Message: "production is released by the release engineers",
			},
			{
				Name: "ci-staging", Apps: []policy.Glob{"com.acme.*"},
				Channels: []policy.Glob{"staging", "pr-*"}, Users: []policy.Glob{"ci"}, Effect: policy.Allow,
			},
		},
		People: People{
			AllowedSigners: "allowed_signers",
			Groups:         map[string][]string{"release": {"alice", "bob", "carol"}, "security": {"dave", "erin"}},
			Accounts: map[string]Account{
				"alice": {Users: []string{"alice"}},
				"bob":   {Users: []string{"bob", "bob-admin"}},
				"carol": {Users: []string{"carol"}},
				"dave":  {},
				"erin":  {},
			},
		},
		Freezes: Freezes{
			Groups: []policy.Glob{"release"}, Lift: []Requirement{{From: []string{"release", "security"}, Threshold: 2}},
		},
	}
}

// sampleCases are cases for the policy of [samples].
func sampleCases() *CaseFile {
	request := CaseRequest{App: "com.acme.shop", Channel: "production", Version: "1.5.0"}
	engineer := CaseRequester{User: "carol", UID: defaultCaseUID, Groups: []string{"release"}}
	return &CaseFile{Time: "2026-03-02T12:00:00Z", Cases: []Case{
		{
			Name: "a release needs a colleague and security", Request: request, Requester: engineer,
			Last: CaseRelease{Version: "1.4.0"}, ApprovedBy: []string{"alice"},
			Expect: Expectation{
				Effect: policy.Approve, Rule: "production-by-release-engineers",
				Missing: []CaseMissing{{From: []string{"security"}, Count: 1}},
			},
		},
		{
			Name: "the CI does not release", Request: request, Requester: CaseRequester{User: "ci", UID: 990},
			Expect: Expectation{Effect: policy.Deny, Rule: "production-otherwise", Reason: "by the release engineers"},
		},
	}}
}

// approving is a policy in which people approve.
const approving = `rules:
  - name: release
    when: now > timestamp("2020-01-01T00:00:00Z")
    effect: approve
    approvals: [{from: [release], threshold: 1}]
people:
  allowed_signers: allowed_signers
  groups: {release: [alice, bob]}
  accounts: {alice: {users: [alice]}, bob: {}}
`

// signersOf reads the allowed_signers file of the tests, whatever it is called.
func signersOf(t testing.TB) func(string) []byte {
	return func(string) []byte {
		data, err := os.ReadFile("testdata/allowed_signers")
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}
