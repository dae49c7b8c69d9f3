package gcpkms_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	signerAccount = "signer@acme-prod.iam.gserviceaccount.com"
	kmsScope      = "https://www.googleapis.com/auth/cloudkms"
)

// iam is an IAM Service Account Credentials API (generateAccessToken) over HTTP.
// It gives out a new token at each request of somebody whose own it accepts.
type iam struct {
	accepts func(bearer string) bool
	given   atomic.Int32
	revoked atomic.Int32 // tokens up to this number
	paths   chan string
}

func (i *iam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Scope    []string `json:"scope"`
		Lifetime string   `json:"lifetime"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err != nil || !ok || !i.accepts(token) || !strings.Contains(strings.Join(body.Scope, " "), kmsScope) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":403,"message":"iam.serviceAccounts.getAccessToken denied to `+token+`"}}`)
		return
	}
	select {
	case i.paths <- r.URL.Path:
	default:
	}
	_, _ = fmt.Fprintf(w, `{"accessToken":"%s","expireTime":%q}`, accessToken(i.given.Add(1)), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func accessToken(n int32) string { return fmt.Sprintf("access-token-%d-of-the-signer", n) }

// lets reports whether a token was given out and not revoked.
func (i *iam) lets(token string) bool {
	for n := i.revoked.Load() + 1; n <= i.given.Load(); n++ {
		if token == accessToken(n) {
			return true
		}
	}
	return false
}

// A credentials file that is exchanged for another account's: made by
// "gcloud ... --impersonate-service-account", with a service account's key inside.
func TestImpersonatedFile(t *testing.T) {
	t.Parallel()
	base := newAccount(t)
	i := &iam{accepts: base.accepts}
	server := httptest.NewServer(i)
	defer server.Close()
	s := kmstest.NewTLS(t, i.lets)
	public := publicKey(t, s.Generate(name))
	k, path := withFile(t, s)
	var source map[string]any
	if err := json.Unmarshal(base.file, &source); err != nil {
		t.Fatal(err)
	}
	file := map[string]any{
		"type":                              "impersonated_service_account",
		"service_account_impersonation_url": server.URL + "/v1/projects/-/serviceAccounts/" + signerAccount + ":generateAccessToken",
		"source_credentials":                source,
	}
	write(t, path, marshal(t, file))
	works(t, k, public)
	if i.given.Load() != 1 {
		t.Errorf("%d tokens for 2 signatures, want 1", i.given.Load())
	}
	// A token that was revoked is exchanged for another, unnoticed.
	i.revoked.Store(i.given.Load())
	works(t, k, public)

	// A person's own login inside is no more a daemon's than one outside.
	file["source_credentials"] = map[string]string{"type": "authorized_user", "refresh_token": "s3cr3t"}
	write(t, path, marshal(t, file))
	i.revoked.Store(i.given.Load())
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, err, signer.ErrKeyUnusable, path, "source_credentials of no type for a daemon")
}

// Workload identity whose token is exchanged twice: at the security token service,
// and then for a service account's.
func TestWorkloadIdentityImpersonates(t *testing.T) {
	t.Parallel()
	const federated, subject = "federated-token-of-the-workload", "subject-token-of-the-workload"
	i := &iam{accepts: func(token string) bool { return token == federated }}
	mux := http.NewServeMux()
	mux.Handle("/v1/projects/", i)
	mux.HandleFunc("/v1/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("subject_token") != subject || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"`+federated+`","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	s := kmstest.NewTLS(t, i.lets)
	public := publicKey(t, s.Generate(name))
	k, path := withFile(t, s)
	write(t, path, marshal(t, map[string]any{
		"type":                              "external_account",
		"audience":                          "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
		"subject_token_type":                "urn:ietf:params:oauth:token-type:jwt",
		"token_url":                         server.URL + "/v1/token",
		"service_account_impersonation_url": server.URL + "/v1/projects/-/serviceAccounts/" + signerAccount + ":generateAccessToken",
		"credential_source":                 map[string]string{"file": path + ".token"},
	}))
	use := func(kind error, says string) {
		t.Helper()
		_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
		refused(t, err, kind, says)
		if strings.Contains(err.Error(), subject) || strings.Contains(err.Error(), federated) {
			t.Error("the error holds a token")
		}
	}
	// The workload's own token is not there yet, then expired, then good.
	use(signer.ErrUnavailable, "no access token")
	write(t, path+".token", []byte("expired-"+subject))
	use(signer.ErrKeyUnusable, "the token server refuses the credentials (HTTP 400)")
	write(t, path+".token", []byte(subject))
	works(t, k, public)
	// The account may not be impersonated any more.
	i.accepts = func(string) bool { return false }
	i.revoked.Store(i.given.Load())
	use(signer.ErrKeyUnusable, "(HTTP 403)")
}

// alone names the variable that says that the test runs in a process of its own,
// and where its files are.
const alone = "BUNDLESIGN_TEST_ALONE"

// A daemon as it is run: with nothing but its configuration and its environment. A
// process reads the latter once, so this needs one of its own, whose only way out is
// a proxy and whose only authorities are the test's.
func TestByConfigurationAlone(t *testing.T) {
	if os.Getenv(alone) != "" {
		byConfigurationAlone(t, os.Getenv(alone))
		return
	}
	t.Parallel()
	base := newAccount(t)
	i := &iam{accepts: base.accepts, paths: make(chan string, 1)}
	server := httptest.NewUnstartedServer(i)
	var authority []byte
	server.TLS, authority = certificate(t, "iamcredentials.googleapis.com")
	server.StartTLS()
	defer server.Close()
	proxy := startProxy(t, "iamcredentials.googleapis.com:443", server.Listener.Addr().String())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "base.json"), base.file)
	write(t, filepath.Join(dir, "ca.pem"), authority)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestByConfigurationAlone$", "-test.timeout=120s")
	cmd.Env = append(
		os.Environ(), alone+"="+dir, "HTTPS_PROXY=http://"+proxy,
		"SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"), "SSL_CERT_DIR="+filepath.Join(dir, "none"),
		"GOOGLE_APPLICATION_CREDENTIALS="+filepath.Join(dir, "base.json"),
	)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case path := <-i.paths:
		if want := "/v1/projects/-/serviceAccounts/" + signerAccount + ":generateAccessToken"; path != want {
			t.Errorf("asked for %s, want %s", path, want)
		}
	default:
		t.Error("the service account was not impersonated")
	}
}

func byConfigurationAlone(t *testing.T, dir string) {
	var impersonated atomic.Bool
	s := kmstest.NewTLS(t, func(token string) bool {
		if impersonated.Load() {
			return token == accessToken(1)
		}
		return inTime(token, time.Now()) // signed by the account itself
	})
	public := publicKey(t, s.Generate(name))
	roots := filepath.Join(dir, "ca.pem")
	authority, err := os.ReadFile(roots)
	if err != nil {
		t.Fatal(err)
	}
	write(t, roots, append(authority, s.Certificate()...))
	for query, impersonates := range map[string]bool{
		"":                              false, // the machine's own credentials
		"&impersonate=" + signerAccount: true,
	} {
		impersonated.Store(impersonates)
		k := open(t, gcpkms.Options{URI: parse(t, gcpkms.Scheme+name+"?endpoint="+s.Addr()+query)})
		if _, err := k.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		works(t, k, public)
	}
}

// startProxy starts an HTTP proxy (RFC 9110, section 9.3.6) that knows one way.
func startProxy(t *testing.T, host, addr string) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		there, err := net.Dial("tcp", addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		pipe(here, buffered.Reader, there)
	}))
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

// pipe copies both ways until both ends have ended.
func pipe(here net.Conn, from *bufio.Reader, there net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, from)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(here, there)
	here.Close()
	<-done
}

// certificate returns a server's certificate for a name, and itself as authority.
func certificate(t *testing.T, host string) (*tls.Config, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
