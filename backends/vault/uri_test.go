package vault_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bundlesign/bundlesign/backends/vault"
)

func TestParseURI(t *testing.T) {
	for uri, want := range map[string]vault.URI{
		"hashivault://transit/acme-shop?version=1": {
			Mount: "transit", Key: "acme-shop", Version: 1,
			Auth: vault.Token, TokenFile: vault.File{Credential: "vault-token"},
		},
		"hashivault://team/transit/k?version=12&address=https://v.example:8200/&namespace=a/b/&ca-file=/ca.pem&auth=approle&role-id=r&secret-id-file=credential:sid&wrapped=true": {
			Mount: "team/transit", Key: "k", Version: 12, Address: "https://v.example:8200", Namespace: "a/b", CAFile: "/ca.pem",
			Auth: vault.AppRole, AuthMount: "approle", RoleID: "r", SecretIDFile: vault.File{Credential: "sid"}, Wrapped: true,
		},
		"hashivault://t/k?auth=kubernetes&role=signer&version=1&auth-mount=k8s/prod": {
			Mount: "t", Key: "k", Version: 1, Auth: vault.Kubernetes, AuthMount: "k8s/prod", Role: "signer",
			JWTFile: vault.File{Path: "/var/run/secrets/kubernetes.io/serviceaccount/token"},
		},
		"hashivault://t/k?auth=jwt&role=signer&version=1&jwt-file=/a%20b": {
			Mount: "t", Key: "k", Version: 1, Auth: vault.JWT, AuthMount: "jwt", Role: "signer", JWTFile: vault.File{Path: "/a b"},
		},
		"hashivault://t/k?auth=cert&version=1&cert-file=/c&key-file=/k&address=http://127.0.0.1:8100": {
			Mount: "t", Key: "k", Version: 1, Address: "http://127.0.0.1:8100", Auth: vault.Cert, AuthMount: "cert",
			CertFile: vault.File{Path: "/c"}, KeyFile: vault.File{Path: "/k"},
		},
	} {
		got, err := vault.ParseURI(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(vault.URI{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", uri, diff)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	const secret = "hvs.secret"
	for uri, says := range map[string]string{
		"hashivault:transit/k?version=1":                                        "does not begin with hashivault://",
		"vault://transit/k?version=1":                                           "does not begin with hashivault://",
		"hashivault://transit?version=1":                                        "names no key",
		"hashivault:///k?version=1":                                             "names no key",
		"hashivault://transit/?version=1":                                       "key name",
		"hashivault://a//k?version=1":                                           "mount",
		"hashivault://../k?version=1":                                           "mount",
		"hashivault://transit/a%2Fb?version=1":                                  "key name",
		"hashivault://user:" + secret + "@host/k?version=1":                     "mount",
		"hashivault://transit/k":                                                "has no version",
		"hashivault://transit/k?address=https://a":                              "has no version",
		"hashivault://transit/k?version=0":                                      "not a version number",
		"hashivault://transit/k?version=latest":                                 "not a version number",
		"hashivault://transit/k?version=01":                                     "not a version number",
		"hashivault://transit/k?version=1&version=1":                            `"version" twice`,
		"hashivault://transit/k?version=1#x":                                    "has a #",
		"hashivault://transit/k?version=1&token=" + secret:                      "does not belong in a configuration",
		"hashivault://transit/k?version=1&secret-id=" + secret:                  "secret-id-file=/PATH",
		"hashivault://transit/k?version=1&" + secret + "%":                      "not name=value",
		"hashivault://transit/k?version=1&tokenfile=/x":                         `unknown attribute "tokenfile"`,
		"hashivault://transit/k?version=1&token-file=" + secret:                 "not an absolute path",
		"hashivault://transit/k?version=1&token-file=":                          "is empty",
		"hashivault://transit/k?version=1&token-file=/a%zz":                     "two hexadecimal digits",
		"hashivault://transit/k?version=1&token-file=/a%00":                     "control characters",
		"hashivault://transit/k?version=1&token-file=credential:../x":           "systemd credential",
		"hashivault://transit/k?version=1&auth=ldap":                            "want token, approle",
		"hashivault://transit/k?version=1&auth=approle&role-id=a":               "has no secret-id-file",
		"hashivault://transit/k?version=1&auth=approle&secret-id-file=/a":       "has no role-id",
		"hashivault://transit/k?version=1&role-id=a":                            "no meaning with auth=token",
		"hashivault://transit/k?version=1&auth=jwt&role=a":                      "has no jwt-file",
		"hashivault://transit/k?version=1&auth=kubernetes":                      "has no role",
		"hashivault://transit/k?version=1&auth=cert&cert-file=/a":               "has no key-file",
		"hashivault://transit/k?version=1&cert-file=/a":                         "only one of cert-file and key-file",
		"hashivault://transit/k?version=1&address=http://vault.example.com":     "http to another machine",
		"hashivault://transit/k?version=1&address=https://u:" + secret + "@v":   "does not belong there",
		"hashivault://transit/k?version=1&address=https://v/v1":                 "has a path",
		"hashivault://transit/k?version=1&address=vault.example.com:8200":       "want https://HOST:PORT",
		"hashivault://transit/k?version=1&wrapped=yes":                          "not true or false",
		"hashivault://transit/k?version=1&namespace=a%20b":                      "not a path in Vault",
		"hashivault://transit/k?version=1&role-id=" + strings.Repeat("x", 300):  "300 bytes",
		"hashivault://transit/k?version=1&role-id=" + strings.Repeat("x", 5000): "at most 4096",
	} {
		_, err := vault.ParseURI(uri)
		if err == nil {
			t.Errorf("%s was accepted", uri)
			continue
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %q, want %q", uri, err, says)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %q repeats what may be a secret", uri, err)
		}
	}
}

// FuzzParseURI: what is accepted names a key that can be put in a path as it is.
func FuzzParseURI(f *testing.F) {
	f.Add("hashivault://transit/k?version=1&address=https://v&auth=approle&role-id=r&secret-id-file=/s&wrapped=true")
	f.Add("hashivault://a/b/c?version=2&auth=jwt&role=r&jwt-file=credential:x")
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := vault.ParseURI(uri)
		if err != nil {
			return
		}
		if u.Version < 1 || strings.ContainsAny(u.Mount+u.Key+u.AuthMount+u.Namespace, "?#% \\\x00") || strings.Contains("/"+u.Mount+"/"+u.Key+"/", "/../") {
			t.Errorf("%q gives %+v", uri, u)
		}
		if u.Address != "" && vault.CheckAddress(u.Address) != nil {
			t.Errorf("%q gives the address %q", uri, u.Address)
		}
	})
}
