package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	dialTimeout = 5 * time.Second
	// maxAnswer is far above the 100 kB that a full batch of signatures takes.
	maxAnswer = 8 << 20
)

// transport carries requests to Vault: over TLS as configured, to one host only, with
// bounded answers. It looks at the file with the authorities before each request, and
// takes a new one as soon as it is there.
type transport struct {
	uri            *URI
	credentialsDir string

	mu   sync.Mutex
	base *http.Transport
	ca   secretfile.ID // of the file that base was made with
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base, err := t.current()
	if err != nil {
		return nil, err
	}
	resp, err := base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if 300 <= resp.StatusCode && resp.StatusCode < 400 {
		// Vault's client would follow, with the token, and would lose the body.
		resp.Body.Close()
		return nil, errRedirect
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

var errRedirect = errors.New("answered with a redirect, and where it leads does not get the token: it is a standby that does not forward requests, or not Vault; give the address of the active node, or of a load balancer that knows it")

func (t *transport) current() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uri.CAFile == "" {
		if t.base == nil {
			t.base = t.make(nil)
		}
		return t.base, nil
	}
	// Not a secret, so links are followed; what matters is what is behind them.
	var now secretfile.ID
	path, err := filepath.EvalSymlinks(t.uri.CAFile)
	if err == nil {
		now, err = secretfile.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: vault: the file with the certificate authorities: %w", signer.ErrUnavailable, err)
	}
	if t.base != nil && now == t.ca {
		return t.base, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: vault: the file with the certificate authorities: %w", signer.ErrUnavailable, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: vault: %s holds no certificate in PEM", signer.ErrKeyUnusable, t.uri.CAFile)
	}
	if t.base != nil {
		t.base.CloseIdleConnections()
	}
	t.base, t.ca = t.make(pool), now
	return t.base, nil
}

func (t *transport) make(pool *x509.CertPool) *http.Transport {
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if !t.uri.CertFile.IsZero() {
		// Asked for at each handshake: a renewed certificate is used at once.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.certificate() }
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: maxInFlight,
		IdleConnTimeout:     90 * time.Second,
		// HTTP/1.1 only, by not asking for more: a request that gets no answer ends
		// its connection. Over HTTP/2 the next ones would run into the same hole.
		ForceAttemptHTTP2: false,
	}
}

func (t *transport) certificate() (*tls.Certificate, error) {
	certificate, certPath, _, err := t.uri.CertFile.read(t.credentialsDir)
	if err != nil {
		return nil, err
	}
	key, keyPath, _, err := t.uri.KeyFile.read(t.credentialsDir)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		// The library's message is left out: it may quote the file.
		return nil, fmt.Errorf("%w: vault: %s and %s are not a certificate and its private key in PEM", signer.ErrKeyUnusable, certPath, keyPath)
	}
	return &pair, nil
}

// closeIdle closes the connections that nobody uses.
func (t *transport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base != nil {
		t.base.CloseIdleConnections()
	}
}
