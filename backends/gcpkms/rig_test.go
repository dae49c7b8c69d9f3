package gcpkms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	location = "projects/acme-prod/locations/europe-west3"
	name     = location + "/keyRings/live/cryptoKeys/shop/cryptoKeyVersions/1"
)

func parse(t *testing.T, uri string) *gcpkms.URI {
	t.Helper()
	u, err := gcpkms.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// options open the version called name at a server.
func options(t *testing.T, s *kmstest.Server) gcpkms.Options {
	t.Helper()
	return gcpkms.Options{URI: parse(t, "gcpkms://"+name), Timeout: patience, Logger: zaptest.NewLogger(t), ClientOptions: s.ClientOptions()}
}

func open(t *testing.T, o gcpkms.Options) *gcpkms.Key {
	t.Helper()
	k := gcpkms.Open(o)
	k.Hasten()
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the key: %v", err)
		}
	})
	return k
}

// rig is a server with one key, and the key as the backend has it.
func rig(t *testing.T) (*kmstest.Server, *gcpkms.Key, *capgo.PublicKey) {
	t.Helper()
	s := kmstest.New(t)
	key, err := shopKey()
	if err != nil {
		t.Fatal(err)
	}
	s.GenerateAs(name, key)
	return s, open(t, options(t, s)), publicKey(t, key)
}

// shopKey returns the key of each rig.
var shopKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func publicKey(t *testing.T, key *rsa.PrivateKey) *capgo.PublicKey {
	t.Helper()
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func payload(t *testing.T, text string) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// works fails the test if the key does not sign.
func works(t *testing.T, k *gcpkms.Key, public *capgo.PublicKey) {
	t.Helper()
	payloads := []capgo.Payload{payload(t, "works"), capgo.SessionKeyPayload()}
	signatures, err := k.Sign(t.Context(), payloads)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range payloads {
		if err := public.Verify(p, signatures[i]); err != nil {
			t.Error(err)
		}
	}
}

// refused fails the test if err is not of the kind that it should be, or does not
// say what it should.
func refused(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	other := signer.ErrUnavailable
	if errors.Is(kind, signer.ErrUnavailable) {
		other = signer.ErrKeyUnusable
	}
	if !errors.Is(err, kind) || errors.Is(err, other) {
		t.Fatalf("error %v, want one that wraps %q only", err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q, want it to say %q", err, s)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r\x00") {
		t.Errorf("error %q is more than one line of text", err)
	}
}

// soon fails the test if f hangs.
func soon(t *testing.T, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > patience {
		t.Errorf("took %s, want at most %s", took, patience)
	}
}

// openAny opens a key that somebody else closes.
func openAny(t *testing.T, s *kmstest.Server) signer.Key {
	t.Helper()
	k := gcpkms.Open(options(t, s))
	k.Hasten()
	return k
}

// patience bounds what must not hang: far more than it takes on a machine that is
// busy with everything else.
const patience = 30 * time.Second
