// Package idtokentest is an OIDC issuer for tests: a real HTTPS server with
// discovery and keys, and tokens that are really signed.
//
// It is for tests alone. It signs whatever claims it is given.
package idtokentest

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience is the audience of the tokens that an issuer makes.
const Audience = "https://bundlesign.example.com"

// Issuer is a running issuer. Its methods may be called at any time.
type Issuer struct {
	// URL is its name, which is the claim iss of its tokens.
	URL string

	server *httptest.Server

	mu       sync.Mutex
	key      *Key   // signs
	shown    []*Key // are in the key set
	answers  map[string]http.HandlerFunc
	requests map[string]int
}

// The places of an issuer.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	JWKSPath      = "/keys"
)

// New starts an issuer that ends with the test. Its first key is for RS256, as
// those of the CI services are.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{answers: make(map[string]http.HandlerFunc), requests: make(map[string]int)}
	i.server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.Rotate(t, jose.RS256)
	return i
}

// Certificate is that of the server. It vouches for itself.
func (i *Issuer) Certificate() *x509.Certificate { return i.server.Certificate() }

// CA is the authority that vouches for the server.
func (i *Issuer) CA() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.Certificate())
	return pool
}

// CAFile writes that authority into a PEM file, which only its owner can write,
// and returns its path.
func (i *Issuer) CAFile(t testing.TB) string {
	t.Helper()
	return write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
}

// JWKSFile writes the key set into a file, which only its owner can write, and
// returns its path.
func (i *Issuer) JWKSFile(t testing.TB) string {
	t.Helper()
	return write(t, "jwks.json", i.JWKS())
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// JWKS is the key set as it is served now.
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range i.shown {
		set.Keys = append(set.Keys, k.Public())
	}
	return encode(set)
}

// Rotate makes a new key, which signs from now on and is the only one that is
// shown, and returns it. The one before it is retired.
func (i *Issuer) Rotate(t testing.TB, alg jose.SignatureAlgorithm) *Key {
	t.Helper()
	k := NewKey(t, alg)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.shown = k, []*Key{k}
	return k
}

// Key is the key that signs.
func (i *Issuer) Key() *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}

// Claims are those of a good token at a time: one of five minutes, with a jti of
// its own.
func (i *Issuer) Claims(now time.Time) map[string]any {
	return map[string]any{
		"iss": i.URL, "sub": "repo:acme/shop:ref:refs/heads/main", "aud": Audience, "jti": randomID(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
}

// Token is a token with these claims, signed with the key of now.
func (i *Issuer) Token(t testing.TB, claims map[string]any) string {
	t.Helper()
	return i.Key().Sign(t, encode(claims), nil)
}

// Answer has a path of the issuer answered by h instead; nil: as it should be.
func (i *Issuer) Answer(path string, h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = h
}

// Down has the issuer answer nothing but 503, or answer again.
func (i *Issuer) Down(down bool) {
	var h http.HandlerFunc
	if down {
		h = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	}
	i.Answer(DiscoveryPath, h)
	i.Answer(JWKSPath, h)
}

// Requests is how often a path was asked for.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests[r.URL.Path]++
	h := i.answers[r.URL.Path]
	i.mu.Unlock()
	if h != nil {
		h(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case DiscoveryPath:
		_, _ = w.Write(encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + JWKSPath, "id_token_signing_alg_values_supported": []string{"RS256"}}))
	case JWKSPath:
		_, _ = w.Write(i.JWKS())
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("idtokentest: " + err.Error()) // values of a test's own
	}
	return data
}
