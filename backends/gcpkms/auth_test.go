package gcpkms_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/api/option"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// account is a service account with the key that its tokens are signed with.
type account struct {
	key  *rsa.PrivateKey
	file []byte
}

func newAccount(t *testing.T) *account {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &account{key, marshal(t, map[string]string{
		"type":           "service_account",
		"project_id":     "acme-prod",
		"private_key_id": "1",
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   "signer@acme-prod.iam.gserviceaccount.com",
		"client_id":      "1",
		"token_uri":      "https://127.0.0.1:1/not-to-be-asked",
	})}
}

// accepts verifies a token that the account signed itself (RFC 7515, RS256).
func (a *account) accepts(token string) bool {
	signed := strings.LastIndexByte(token, '.')
	if signed < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[signed+1:])
	digest := sha256.Sum256([]byte(token[:signed]))
	return err == nil && rsa.VerifyPKCS1v15(&a.key.PublicKey, crypto.SHA256, digest[:], signature) == nil
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withFile opens the key with a credentials file that is not there yet.
func withFile(t *testing.T, s *kmstest.Server) (k *gcpkms.Key, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "credentials.json")
	o := options(t, s)
	o.URI = parse(t, "gcpkms://"+name+"?credentials="+path)
	return open(t, o), path
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[account]
	current.Store(newAccount(t))
	s := kmstest.NewTLS(t, func(token string) bool { return current.Load().accepts(token) })
	public := publicKey(t, s.Generate(name))
	k, path := withFile(t, s)

	use := func(kind error, says ...string) {
		t.Helper()
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, kind, says...)
		_, err = k.Inspect(t.Context())
		refused(t, err, kind, says...)
		for line := range strings.Lines(string(current.Load().file)) {
			if len(line) > 40 && strings.Contains(err.Error(), line[10:40]) {
				t.Error("the error holds a part of the file (not repeated here)")
			}
		}
	}
	use(signer.ErrUnavailable, path, "no such file")
	write(t, path, []byte("{"))
	use(signer.ErrKeyUnusable, path, "is not JSON")
	write(t, path, marshal(t, map[string]string{"type": "authorized_user", "refresh_token": "x"}))
	use(signer.ErrKeyUnusable, path, "no type for a daemon", "service_account")
	write(t, path, marshal(t, map[string]string{"type": "service_account", "client_email": "a@b", "private_key": "s3cr3t"}))
	use(signer.ErrKeyUnusable, path, "missing or wrong")
	write(t, path, current.Load().file)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	use(signer.ErrKeyUnusable, path, "chmod 0600")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, k, public)

	// The account gets another key: the old one ends, and the daemon goes on with
	// the new one as soon as it is in the file.
	current.Store(newAccount(t))
	before := s.Calls("AsymmetricSign")
	use(signer.ErrKeyUnusable, "ACCESS_TOKEN_EXPIRED", "have expired or were revoked", "clock")
	if n := s.Calls("AsymmetricSign") - before; n != 2 {
		t.Errorf("refused credentials were tried %d times, want 2: with a new token each", n)
	}
	write(t, path, current.Load().file)
	works(t, k, public)
}

// Workload identity: a token of another service is exchanged at a token server.
func TestTokenServer(t *testing.T) {
	t.Parallel()
	const access = "access-token-of-the-workload"
	s := kmstest.NewTLS(t, func(token string) bool { return token == access })
	public := publicKey(t, s.Generate(name))
	var status atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		if status.Load() == http.StatusOK {
			_, _ = w.Write([]byte(`{"access_token":"` + access + `","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`))
			return
		}
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"the token ` + r.FormValue("subject_token") + ` is expired"}`))
	}))
	defer tokens.Close()
	k, path := withFile(t, s)
	const subject = "subject-token-of-the-workload"
	write(t, path+".token", []byte(subject))
	write(t, path, marshal(t, map[string]any{
		"type":               "external_account",
		"audience":           "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url":          tokens.URL,
		"credential_source":  map[string]string{"file": path + ".token"},
	}))
	for _, test := range []struct {
		status int
		kind   error
		says   string
	}{
		{http.StatusBadRequest, signer.ErrKeyUnusable, "the token server refuses the credentials (HTTP 400)"},
		{http.StatusForbidden, signer.ErrKeyUnusable, "(HTTP 403)"},
		{http.StatusTooManyRequests, signer.ErrUnavailable, "no access token"},
		{http.StatusServiceUnavailable, signer.ErrUnavailable, "no access token"},
	} {
		status.Store(int32(test.status))
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, test.kind, test.says)
		if strings.Contains(err.Error(), subject) {
			t.Error("the error holds the token")
		}
	}
	status.Store(http.StatusOK)
	works(t, k, public)
}

func TestUnknownCA(t *testing.T) {
	t.Parallel()
	s := kmstest.NewTLS(t, func(string) bool { return true })
	k := open(t, gcpkms.Options{
		URI:           parse(t, "gcpkms://"+name),
		ClientOptions: []option.ClientOption{option.WithEndpoint(s.Addr()), option.WithoutAuthentication()},
	})
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrUnavailable, "cannot be reached", "certificate signed by unknown authority")
}

// The machine has no credentials: said, and not for ever.
func TestNoDefaultCredentials(t *testing.T) {
	s := kmstest.NewTLS(t, func(string) bool { return true })
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	o := options(t, s)
	o.URI = parse(t, "gcpkms://"+name+"?impersonate=signer@acme-prod.iam.gserviceaccount.com")
	_, err := open(t, o).Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrUnavailable, "no application default credentials", "credentials=/PATH")
}
