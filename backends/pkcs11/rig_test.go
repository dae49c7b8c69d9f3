package pkcs11_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
)

const (
	opened   = "pkcs11 module opened"
	gone     = "pkcs11 module's process is gone; the next use starts a new one"
	wrote    = "pkcs11 module wrote"
	stubborn = "pkcs11 module's process did not end when asked and is killed"
)

// patience bounds what has to happen at some time; nothing takes as long on a
// machine that works.
const patience = 60 * time.Second

// rig is a module whose log the test reads.
type rig struct {
	*pkcs11.Module
	t    *testing.T
	logs *observer.ObservedLogs
}

func self(t testing.TB, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe}, args...)
}

// softHSM is the configuration for a real token.
func softHSM(t testing.TB, tk *softhsmtest.Token) pkcs11.Config {
	return pkcs11.Config{
		ModulePath:   tk.ModulePath,
		Token:        uri.Token{Label: tk.Label},
		PIN:          uri.PINSource{Path: tk.PINFile},
		ChildCommand: self(t, childArg),
	}
}

func newRig(t *testing.T, cfg pkcs11.Config) *rig {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	cfg.Logger = zap.New(core)
	r := &rig{pkcs11.NewModule(cfg), t, logs}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing the module: %v", err)
		}
		for _, e := range logs.All() {
			if strings.Contains(e.Message, softhsmtest.PIN) || strings.Contains(fieldText(e), softhsmtest.PIN) {
				t.Errorf("a PIN is in the log: %q", e.Message)
			}
		}
	})
	return r
}

func fieldText(e observer.LoggedEntry) string {
	var b strings.Builder
	for _, f := range e.Context {
		b.WriteString(f.String)
		if err, ok := f.Interface.(error); ok {
			b.WriteString(err.Error())
		}
	}
	return b.String()
}

// key returns a key, which is closed before the module is.
func (r *rig) key(o pkcs11.KeyOptions) *pkcs11.Key {
	r.t.Helper()
	k := r.Key(o)
	r.t.Cleanup(func() {
		if err := k.Close(); err != nil {
			r.t.Errorf("closing the key: %v", err)
		}
	})
	return k
}

// pid returns the process of the newest child that was opened.
func (r *rig) pid() int {
	r.t.Helper()
	entries := r.logs.FilterMessage(opened).All()
	if len(entries) == 0 {
		r.t.Fatal("no child was opened")
	}
	return int(entries[len(entries)-1].ContextMap()["pid"].(int64))
}

func (r *rig) count(message string) int { return r.logs.FilterMessage(message).Len() }

func (r *rig) signal(pid int, s syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		r.t.Fatalf("sending %s to the child: %v", s, err)
	}
}

func payload(t testing.TB, text string) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// freeze stops a process and waits until all of it has stopped.
func (r *rig) freeze(pid int) {
	r.t.Helper()
	r.signal(pid, syscall.SIGSTOP)
	eventually(r.t, "the child is stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, path := range threads {
			stat, readErr := os.ReadFile(path)
			if readErr != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return err == nil && len(threads) > 0
	})
}

// sign signs one payload.
func sign(ctx context.Context, t *testing.T, k *pkcs11.Key) error {
	t.Helper()
	p := payload(t, "bundle")
	got, err := k.Sign(ctx, []capgo.Payload{p})
	if err == nil && len(got) != 1 {
		t.Errorf("%d signatures for one payload", len(got))
	}
	return err
}

func mustSign(t *testing.T, k *pkcs11.Key) {
	t.Helper()
	if err := sign(t.Context(), t, k); err != nil {
		t.Fatalf("signing: %v", err)
	}
}

// wantError checks the kind and the text of an error, and that no PIN is in it.
func wantError(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("error: %v\nwant one that wraps %q and contains %q", err, kind, text)
	}
	if err != nil && strings.Contains(err.Error(), softhsmtest.PIN) {
		t.Error("the error has the PIN in it")
	}
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still not after %s: %s", patience, what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
