package config_test

import (
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
	"github.com/bundlesign/bundlesign/config"
)

func issuers(lines ...string) string {
	return goodConfig + "token_issuers:\n- " + strings.Join(lines, "\n- ") + "\n"
}

func TestTokenIssuers(t *testing.T) {
	f := newFolder(t)
	is := idtokentest.New(t)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: is.Certificate().Raw}))
	f.write("ca.pem", ca+ca, 0o644)
	f.write("keys.json", string(is.JWKS()), 0o644)
	f.write("config.yaml", issuers(
		"{name: gitlab, issuer: 'https://gitlab.acme.example', audience: a, ca_file: ca.pem, algorithms: [RS256, EdDSA]}",
		"{name: github, issuer: 'https://token.actions.githubusercontent.com', audience: b, jwks_file: keys.json}",
	), 0o644)
	c, found := f.load(config.Options{})
	if len(found) > 0 {
		t.Fatal(found)
	}
	if c.TokenIssuers[0].CA == nil || c.TokenIssuers[1].CA != nil {
		t.Errorf("authorities are %v and %v, want those of the first alone", c.TokenIssuers[0].CA, c.TokenIssuers[1].CA)
	}
	c.TokenIssuers[0].CA = nil
	want := []config.TokenIssuer{
		{Name: "gitlab", Issuer: "https://gitlab.acme.example", Audience: "a", CAPath: f.at("ca.pem"), Algorithms: []string{"RS256", "EdDSA"}},
		{Name: "github", Issuer: "https://token.actions.githubusercontent.com", Audience: "b", JWKSPath: f.at("keys.json")},
	}
	if diff := cmp.Diff(want, c.TokenIssuers); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}

func TestTokenIssuersAreChecked(t *testing.T) {
	f := newFolder(t)
	f.write("keys.json", "{}", 0o644)
	f.write("writable.json", "{}", 0o666)
	f.write("no-ca.pem", "hello", 0o644)
	for line, want := range map[string]string{
		"{issuer: 'https://a.example', audience: a}":                                                                 "token_issuers[0].name: missing",
		"{name: a, audience: a}":                                                                                     "token_issuers[0].issuer: missing",
		"{name: a, issuer: 'https://a.example'}":                                                                     "token_issuers[0].audience: missing",
		"{name: a, issuer: 'https://a.example', audience: ''}":                                                       "token_issuers[0].audience: found",
		"{name: A, issuer: 'https://a.example', audience: a}":                                                        "token_issuers[0].name: found",
		"{name: a, issuer: 'http://a.example', audience: a}":                                                         "begins with https://",
		"{name: a, issuer: 'https://a.example?x=y', audience: a}":                                                    "without query",
		"{name: a, issuer: 'https://a.example?', audience: a}":                                                       "without query",
		"{name: a, issuer: 'https://a.example#x', audience: a}":                                                      "without query",
		"{name: a, issuer: 'https://u:secret@a.example', audience: a}":                                               "user name or password",
		"{name: a, issuer: 'https://u:secret@[', audience: a}":                                                       "found no URL",
		"{name: a, issuer: 'https:///x', audience: a}":                                                               "and a host",
		"{name: a, issuer: 'https://a.example', audience: a, algorithms: [RS256, HS256]}":                            `token_issuers[0].algorithms[1]: found "HS256"`,
		"{name: a, issuer: 'https://a.example', audience: a, algorithms: [none]}":                                    `found "none"`,
		"{name: a, issuer: 'https://a.example', audience: a, algorithms: [RS256, RS256]}":                            "a second time",
		"{name: a, issuer: 'https://a.example', audience: a, algorithms: []}":                                        "found 0 entries",
		"{name: a, issuer: 'https://a.example', audience: a, jwks_file: keys.json, ca_file: b}":                      "want one of them",
		"{name: a, issuer: 'https://a.example', audience: a, jwks_file: none.json}":                                  "found no file",
		"{name: a, issuer: 'https://a.example', audience: a, jwks_file: writable.json}":                              "writable by its group and others",
		"{name: a, issuer: 'https://a.example', audience: a, ca_file: no-ca.pem}":                                    "found no certificate",
		"{name: a, issuer: 'https://a.example', audience: a, jwks: keys.json}":                                       "unknown field",
		"{name: a, issuer: 'https://a.example', audience: " + strings.Repeat("a", 513) + "}":                         "found 513 bytes",
		"{name: a, issuer: 'https://a.example', audience: a}\n- {name: a, issuer: 'https://b.example', audience: a}": "names are unique",
		"{name: a, issuer: 'https://a.example', audience: a}\n- {name: b, issuer: 'https://a.example', audience: a}": "which token_issuers[0].issuer has already",
	} {
		f.write("config.yaml", issuers(line), 0o644)
		_, found := f.load(config.Options{})
		all := strings.Join(found, "\n")
		if !strings.Contains(all, want) || !strings.Contains(all, "token_issuers[") || strings.Contains(all, "secret") {
			t.Errorf("%s: found %q, want %q", line, found, want)
		}
	}
}

func TestReadTrusted(t *testing.T) {
	f := newFolder(t)
	f.write("good", "hello", 0o644)
	f.write("bad", "hello", 0o666)
	if data, err := config.ReadTrusted(f.at("good"), 5); err != nil || string(data) != "hello" {
		t.Errorf("got %q, %v", data, err)
	}
	for name, limit := range map[string]int64{"good": 4, "bad": 5, "none": 5} {
		if data, err := config.ReadTrusted(f.at(name), limit); err == nil || data != nil {
			t.Errorf("%s: got %q, %v, want an error", name, data, err)
		}
	}
}
