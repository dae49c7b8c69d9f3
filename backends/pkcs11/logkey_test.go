package pkcs11_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/signer"
)

// logKey returns the log's key, which is closed before the module is.
func (r *rig) logKey(o pkcs11.KeyOptions) *pkcs11.LogKey {
	r.t.Helper()
	k := r.LogKey(o)
	r.t.Cleanup(func() {
		if err := k.Close(); err != nil {
			r.t.Errorf("closing the log's key: %v", err)
		}
	})
	return k
}

func emptyLog(t *testing.T) audit.CheckpointText {
	t.Helper()
	text, err := audit.NewCheckpointText("log.example", tlog.Tree{})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLogKey(t *testing.T) {
	tk := softhsmtest.New(t)
	public := tk.GenerateEd25519("log")
	tk.GenerateKey("acme")
	open := func(label string) func(*testing.T) signer.LogKey {
		return func(t *testing.T) signer.LogKey {
			t.Helper()
			return newRig(t, softHSM(t, tk)).logKey(pkcs11.KeyOptions{Object: label})
		}
	}
	backendtest.RunLogKey(t, backendtest.LogHarness{
		Open:      open("log"),
		PublicKey: public,
		OpenOther: open("acme"),
		Break:     func(*testing.T) func() { return tk.Hide() },
		Secrets:   hsmSecrets(),
	})
}

func TestCreateLogKey(t *testing.T) {
	tk := softhsmtest.New(t)
	r, k := softHSMMaker(t, tk, "log")
	said, err := k.PlanLogKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, " "); !strings.Contains(text, "Ed25519") || strings.Contains(text, "RSA") {
		t.Errorf("the plan: %s", text)
	}
	made, err := k.CreateLogKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u := parseURI(t, made)
	key := r.logKey(pkcs11.KeyOptions{Object: u.Object, ID: u.ID})
	public, err := key.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.SignCheckpoint(t.Context(), emptyLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public, emptyLog(t).Bytes(), signature) {
		t.Error("the signature is wrong")
	}
	if err := tk.Extract("log"); err == nil {
		t.Error("the log's private key can be taken out")
	}
	if _, err := k.CreateLogKey(t.Context()); err == nil || !strings.Contains(err.Error(), `the label "log" already`) {
		t.Errorf("making it again: %v", err)
	}
	if n := tk.Objects(); n != 2 {
		t.Errorf("%d objects in the token, want 2", n)
	}
}

// TestKeysAreNotMistaken uses each of the two kinds of key as the other, in sessions
// that have seen both.
func TestKeysAreNotMistaken(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateEd25519("log")
	tk.GenerateKey("acme")
	r := newRig(t, softHSM(t, tk))
	logKey, key := r.logKey(pkcs11.KeyOptions{Object: "log", MaxSessions: 1}), r.key(pkcs11.KeyOptions{Object: "acme", MaxSessions: 1})
	logAsKey, keyAsLog := r.key(pkcs11.KeyOptions{Object: "log", MaxSessions: 1}), r.logKey(pkcs11.KeyOptions{Object: "acme", MaxSessions: 1})
	for range 2 {
		if _, err := logKey.SignCheckpoint(t.Context(), emptyLog(t)); err != nil {
			t.Error(err)
		}
		mustSign(t, key)
		if err := sign(t.Context(), t, logAsKey); !errors.Is(err, signer.ErrKeyUnusable) {
			t.Errorf("signing a payload with the log's key: %v", err)
		}
		_, err := keyAsLog.SignCheckpoint(t.Context(), emptyLog(t))
		wantError(t, err, signer.ErrKeyUnusable, "found a key of type RSA, want Ed25519")
	}
}

func TestLogKeyHeals(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateEd25519("log")
	r := newRig(t, softHSM(t, tk))
	k := r.logKey(pkcs11.KeyOptions{Object: "log"})
	if _, err := k.SignCheckpoint(t.Context(), emptyLog(t)); err != nil {
		t.Fatal(err)
	}
	first := r.pid()
	r.signal(first, syscall.SIGKILL)
	if _, err := k.SignCheckpoint(t.Context(), emptyLog(t)); err != nil {
		t.Errorf("after the child was killed: %v", err)
	}
	if r.pid() == first {
		t.Error("no new child was started")
	}
}

func TestLogKeyMissingOrTwice(t *testing.T) {
	tk := softhsmtest.New(t)
	r := newRig(t, softHSM(t, tk))
	k := r.logKey(pkcs11.KeyOptions{Object: "log"})
	_, err := k.PublicKey(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "no such private key")
	tk.GenerateEd25519("log")
	tk.GenerateEd25519("log")
	_, err = k.PublicKey(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "more than one private key matches")
}
