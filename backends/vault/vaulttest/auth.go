package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// PolicyName is the policy that the roles and tokens below have.
const PolicyName = "bundlesignd"

// Policy writes the policy of the documentation, for a key at "transit".
func (s *Server) Policy(key string) {
	s.t.Helper()
	s.PolicyFile(PolicyName, "policy.hcl", key)
}

// PolicyFile writes a policy from a file of the documentation, for a key at "transit".
func (s *Server) PolicyFile(name, file, key string) {
	s.t.Helper()
	root, err := output(s.t.Context(), "", "go", "list", "-m", "-f", "{{.Dir}}", module)
	s.must(err)
	policy, err := os.ReadFile(filepath.Join(root, "backends", "vault", file))
	s.must(err)
	text := strings.ReplaceAll(string(policy), "acme-shop", key)
	s.must(s.Root.Sys().PutPolicy(name, strings.ReplaceAll(text, "bundlesign-log", key)))
}

// WritePolicy replaces the policy.
func (s *Server) WritePolicy(text string) {
	s.t.Helper()
	s.must(s.Root.Sys().PutPolicy(PolicyName, text))
}

// Token makes a token with the policy and nothing else, in a file. Options are those
// of auth/token/create, such as ttl.
func (s *Server) Token(options map[string]any) (file, token string) {
	s.t.Helper()
	body := map[string]any{"policies": []string{PolicyName}, "no_default_policy": true, "no_parent": true}
	for name, value := range options {
		body[name] = value
	}
	secret, err := s.Root.Logical().Write("auth/token/create", body)
	s.must(err)
	return s.File(secret.Auth.ClientToken), secret.Auth.ClientToken
}

// Client returns a client with a token.
func (s *Server) Client(token string) *api.Client {
	s.t.Helper()
	client, err := s.Root.CloneWithHeaders()
	s.must(err)
	client.SetToken(token)
	return client
}

// File writes a secret to a new file as it should be, and returns its path.
func (s *Server) File(secret string) string {
	s.t.Helper()
	return write(s.t, filepath.Join(s.t.TempDir(), "secret"), []byte(secret+"\n"))
}

// AppRole enables the method and makes the role "bundlesignd". Options are those of
// the role, such as token_ttl.
func (s *Server) AppRole(options map[string]any) (roleID string) {
	s.t.Helper()
	s.enable("approle")
	body := map[string]any{"token_policies": []string{PolicyName}, "token_no_default_policy": true}
	for name, value := range options {
		body[name] = value
	}
	s.Write("auth/approle/role/bundlesignd", body)
	return s.Read("auth/approle/role/bundlesignd/role-id")["role_id"].(string)
}

// SecretID makes a secret id for the role.
func (s *Server) SecretID() string {
	s.t.Helper()
	return s.Write("auth/approle/role/bundlesignd/secret-id", nil)["secret_id"].(string)
}

// Wrap writes to a path as root and returns a token that the answer is wrapped in.
func (s *Server) Wrap(path string) string {
	s.t.Helper()
	client := s.Client(s.Root.Token())
	client.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	secret, err := client.Logical().Write(path, map[string]any{})
	s.must(err)
	return secret.WrapInfo.Token
}

// Renewed reports whether a token was ever prolonged.
func (s *Server) Renewed(token string) bool {
	s.t.Helper()
	return s.Write("auth/token/lookup", map[string]any{"token": token})["last_renewal"] != nil
}

// RevokeLogins revokes every token that a method has given.
func (s *Server) RevokeLogins(method string) {
	s.t.Helper()
	s.must(s.Root.Sys().RevokePrefix("auth/" + method + "/"))
}

// Cert enables the method, and returns a client's certificate that has a role.
func (s *Server) Cert() (certFile, keyFile string) {
	s.t.Helper()
	s.enable("cert")
	s.Write("auth/cert/certs/bundlesignd", map[string]any{
		"certificate": string(s.ca.pem()), "allowed_common_names": "bundlesignd",
		"token_policies": []string{PolicyName},
	})
	return s.ca.client(s.t, "bundlesignd")
}

// JWT enables the method with a role "bundlesignd", and returns a function that makes
// a JWT which is good between two times, counted from now. Vault allows it no leeway.
func (s *Server) JWT() func(from, to time.Duration) string {
	s.t.Helper()
	s.enable("jwt")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	s.must(err)
	s.Write("auth/jwt/config", map[string]any{
		"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	})
	s.Write("auth/jwt/role/bundlesignd", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault",
		"bound_subject": "bundlesignd", "token_policies": []string{PolicyName},
		"expiration_leeway": -1, "not_before_leeway": -1, "clock_skew_leeway": -1,
	})
	return func(from, to time.Duration) string {
		now := time.Now()
		return s.sign(key, map[string]any{
			"sub": "bundlesignd", "aud": "vault", "iss": "vaulttest",
			"iat": now.Add(from).Unix(), "nbf": now.Add(from).Unix(), "exp": now.Add(to).Unix(),
		})
	}
}

// sign makes a JWT (RFC 7519) with ES256.
func (s *Server) sign(key *ecdsa.PrivateKey, claims map[string]any) string {
	s.t.Helper()
	payload, err := json.Marshal(claims)
	s.must(err)
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, key, digest[:])
	s.must(err)
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...))
}

func (s *Server) enable(method string) {
	s.t.Helper()
	s.Write("sys/auth/"+method, map[string]any{"type": method})
}
