package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// What bundlesign signs and encrypts, the official CLI decrypts and accepts; and
// refuses, once one bit of any part is flipped.
func TestOfficialCLIAcceptsOurs(t *testing.T) {
	for _, backend := range []struct {
		name string
		key  func(*testing.T) keySource
	}{
		{"file", keyInFile},
		{"pkcs11", keyInToken},
	} {
		t.Run(backend.name, func(t *testing.T) {
			d := startDaemon(t, backend.key(t))
			for _, format := range formats {
				t.Run(string(format), func(t *testing.T) {
					t.Parallel()
					testOfficialCLIAccepts(t, d, format)
				})
			}
		})
	}
}

func testOfficialCLIAccepts(t *testing.T, d *daemon, format capgo.ChecksumFormat) {
	// All that the CLI has of the key is what an app has: the public key in
	// capacitor.config.json.
	p := newProject(t, updaterOf[format], d.public)
	plain := randomBundle(t)
	p.write(t, "app.zip", plain)
	good := d.sign(t, p, "app.zip", "1.0.0-"+string(format), format)

	got, err := p.decrypt(t, good)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, plain) {
		t.Error("the official CLI decrypted it to something else")
	}

	const (
		mismatch   = "Checksum does not match"
		notThisKey = "Unable to decrypt ivSessionKey with the configured public key"
		notASig    = "rsa routines"
	)
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, s *sealed)
		says  string // by which the refusal is known to be for the right reason
	}{
		{"bundle", func(t *testing.T, s *sealed) {
			s.Filename = "spoiled.zip"
			p.write(t, s.Filename, flip(p.read(t, good.Filename), 8*1000+3))
		}, mismatch},
		{"checksum", func(t *testing.T, s *sealed) {
			sig, f := parseChecksum(t, s.Checksum)
			s.Checksum = capgo.Signature(flip(sig[:], 8*128+5)).Checksum(f)
		}, notASig},
		{"wrapped session key", func(t *testing.T, s *sealed) {
			w := parseWrapped(t, s.IVSessionKey)
			w.Wrapped = capgo.Signature(flip(w.Wrapped[:], 8*128+5))
			s.IVSessionKey = w.String()
		}, notThisKey},
		{"IV", func(t *testing.T, s *sealed) {
			w := parseWrapped(t, s.IVSessionKey)
			w.IV = capgo.IV(flip(w.IV[:], 7))
			s.IVSessionKey = w.String()
		}, mismatch},
	} {
		t.Run("refuses a flipped bit of the "+test.name, func(t *testing.T) {
			spoiled := good
			test.spoil(t, &spoiled)
			if spoiled == good {
				t.Fatal("nothing was spoiled")
			}
			_, err := p.decrypt(t, spoiled)
			var refused *refusedError
			if !errors.As(err, &refused) {
				t.Fatalf("the official CLI did not refuse it: %v", err)
			}
			if !strings.Contains(refused.output, test.says) {
				t.Errorf("refused, but not with %q:\n%s", test.says, refused.output)
			}
			// We see it the same way, and say which part is wrong.
			out, code := bundlesign(t, p.dir, "verify", spoiled.Filename, "--checksum", spoiled.Checksum,
				"--session-key", spoiled.IVSessionKey, "--capacitor-config", "capacitor.config.json")
			if code != exitUntrusted || !strings.Contains(out, "FAILED") {
				t.Errorf("bundlesign verify ended with code %d, want %d:\n%s", code, exitUntrusted, out)
			}
		})
	}
}

// exitUntrusted is bundlesign's exit code for a check that failed.
const exitUntrusted = 6

// randomBundle is larger than what is read at once, and ends within a block.
func randomBundle(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 300<<10+5)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func flip(b []byte, bit int) []byte {
	out := bytes.Clone(b)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

func parseChecksum(t testing.TB, s string) (capgo.Signature, capgo.ChecksumFormat) {
	t.Helper()
	sig, format, err := capgo.ParseChecksum(s)
	if err != nil {
		t.Fatal(err)
	}
	return sig, format
}

func parseWrapped(t testing.TB, s string) capgo.WrappedKey {
	t.Helper()
	w, err := capgo.ParseWrappedKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
