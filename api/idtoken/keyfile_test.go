package idtoken_test

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
)

func noAuthority() *x509.CertPool { return x509.NewCertPool() }

// put replaces a file as an operator should: at once.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func newFileRig(t *testing.T, log *zap.Logger) (*rig, string) {
	t.Helper()
	is, c := idtokentest.New(t), newClock()
	path := is.JWKSFile(t)
	v := newVerifier(t, c, log, idtoken.Issuer{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, JWKSFile: path})
	return &rig{is, t, c, v}, path
}

func TestKeysFromAFile(t *testing.T) {
	r, path := newFileRig(t, zaptest.NewLogger(t))
	old := r.Key()
	r.good(r.Token(t, r.claims(nil)))
	// Rotated: neither the new key nor the loss of the old one waits for anything.
	r.Rotate(t, jose.ES256)
	put(t, path, r.JWKS())
	r.good(r.Token(t, r.claims(nil)))
	r.refused(old.Sign(t, mustJSON(t, r.claims(nil)), nil), "has no key")
	// Written over, in the same place and size.
	before := r.JWKS()
	r.Rotate(t, jose.ES256)
	if len(before) != len(r.JWKS()) {
		t.Fatalf("the key sets have %d and %d bytes, want the same", len(before), len(r.JWKS()))
	}
	if err := os.WriteFile(path, r.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.good(r.Token(t, r.claims(nil)))
	if n := r.Requests(idtokentest.DiscoveryPath); n != 0 {
		t.Errorf("the issuer was asked %d times although there is a file", n)
	}
}

// While the file is not right, nobody is believed, and the log says so once.
func TestFileThatIsWrong(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	r, path := newFileRig(t, zap.New(core))
	raw := r.Token(t, r.claims(nil))
	r.good(raw)
	for _, wrong := range []func() error{
		func() error { return os.WriteFile(path, []byte(`{"keys":`), 0o600) },
		func() error { return os.WriteFile(path, []byte(`{"keys":[]}`), 0o600) },
		func() error { return os.Remove(path) },
	} {
		if err := wrong(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.unavailable(raw, "its jwks_file cannot be used")
		}
	}
	if n := logged.FilterLevelExact(zap.ErrorLevel).Len(); n != 3 {
		t.Errorf("logged %d errors, want each of the three faults once", n)
	}
	put(t, path, r.JWKS())
	r.good(raw)
	if logged.FilterMessageSnippet("again").Len() != 1 {
		t.Error("logged nothing of the file that is right again")
	}
}

// A file that the daemon does not believe, such as one that others can write, is
// not used, whatever is in it.
func TestFileThatIsNotBelieved(t *testing.T) {
	is, c := idtokentest.New(t), newClock()
	v, err := idtoken.New(idtoken.Config{
		Issuers:  []idtoken.Issuer{{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, JWKSFile: is.JWKSFile(t)}},
		Now:      c.Now,
		ReadFile: func(string, int64) ([]byte, error) { return nil, errors.New("writable by others") },
		Log:      zaptest.NewLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{is, t, c, v}
	r.unavailable(r.Token(t, r.claims(nil)), "its jwks_file cannot be used")
}

func TestFileThatIsAbsentIsTriedAgain(t *testing.T) {
	is, c := idtokentest.New(t), newClock()
	path := filepath.Join(t.TempDir(), "jwks.json")
	v := newVerifier(t, c, zaptest.NewLogger(t), idtoken.Issuer{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, JWKSFile: path})
	r := &rig{is, t, c, v}
	r.unavailable(r.Token(t, r.claims(nil)), "its jwks_file cannot be used")
	put(t, path, is.JWKS())
	r.good(r.Token(t, r.claims(nil)))
}
