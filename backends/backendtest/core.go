package backendtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit/audittest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
	"github.com/bundlesign/bundlesign/store"
)

const app = "com.acme.shop"

// core is the daemon's core with the backend's key, a real store, and nobody at a
// socket.
type core struct {
	*signer.Signer
	logKey note.Verifier
}

// withCore starts the core. Its key has a queue of two places.
func (s *suite) withCore(t *testing.T) *core {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	logKey := audittest.NewLogKey(t, "example.com/backendtest")
	st, err := store.Open(t.Context(), store.Options{Dir: dir, LogSigner: logKey.Signer, LogVerifier: logKey.Verifier})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	rules, err := policy.New([]policy.Rule{{Name: "all", Users: []policy.Glob{"*"}, Effect: policy.Allow}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := signer.New(signer.Config{
		Policy: rules, MaxFiles: 10_000, SigningTimeout: patience, Version: "test",
		Keys: []signer.KeyConfig{{
			Name: "key", Apps: []string{app}, Pin: s.PublicKey, Demand: s.Level,
			Replicas: []signer.Replica{{URI: "test:key", Key: s.open(t)}}, Concurrency: 4, Queue: 2,
		}},
	}, st, wallClock{}, s.logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(ctx) // says what is left unfinished
	})
	return &core{c, logKey.Verifier}
}

// logger returns a logger whose entries must hold no secret.
func (s *suite) logger(t *testing.T) *zap.Logger {
	logged, entries := observer.New(zap.DebugLevel)
	t.Cleanup(func() {
		for _, e := range entries.All() {
			s.discreet(t, fmt.Errorf("%s %v", e.Message, e.ContextMap()))
		}
	})
	shown := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)).Core()
	return zap.New(zapcore.NewTee(shown, logged))
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// somebody is a requester of their own.
func somebody(uid uint32) policy.Identity {
	return policy.Identity{UID: uid, User: fmt.Sprint("user", uid)}
}

func submission(version int, files int) signer.Submission {
	sub := signer.Submission{
		AppID: app, Channel: "production", Version: fmt.Sprintf("1.0.%d", version),
		Digest: capgo.Digest{1}, Format: capgo.FormatHex,
	}
	for i := range files {
		d := capgo.Digest{2}
		binary.BigEndian.PutUint32(d[4:], uint32(i))
		sub.Files = append(sub.Files, signer.File{Name: fmt.Sprint("f", i), Digest: d})
	}
	return sub
}

// settled submits, again while the key is not there yet, and waits for the end.
func (c *core) settled(t *testing.T, sub signer.Submission, who policy.Identity) *signer.Request {
	t.Helper()
	var r *signer.Request
	eventually(t, func() (err error) {
		r, err = c.Submit(t.Context(), sub, who, "")
		return err
	})
	r, err := c.Wait(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// testThroughCore has the core use the key: what it releases is verified, in order,
// and has the custody that the backend proved.
func testThroughCore(t *testing.T, s *suite) {
	c := s.withCore(t)
	sub := submission(1, 700)
	got := c.settled(t, sub, somebody(1))
	if got.State != signer.Signed {
		t.Fatalf("%s: %s", got.State, got.Reason)
	}
	if got.Result.Custody.Level != s.Level {
		t.Errorf("custody %q, want %q", got.Result.Custody.Level, s.Level)
	}
	payloads := []capgo.Payload{mustChecksum(t, sub.Digest)}
	for _, f := range sub.Files {
		payloads = append(payloads, mustChecksum(t, f.Digest))
	}
	s.verify(t, payloads, append([]capgo.Signature{got.Result.Checksum}, got.Result.Files...))
	if _, err := s.PublicKey.Unwrap(got.Result.SessionKey); err != nil {
		t.Error(err)
	}
	receipt, err := c.Receipt(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Verify(c.logKey); err != nil {
		t.Error(err)
	}
}

func mustChecksum(t *testing.T, d capgo.Digest) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(d, capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testBusy fills the key's queue: who comes then is told when to come back, nothing
// is recorded of it, and there is room again afterwards.
func testBusy(t *testing.T, s *suite) {
	c := s.withCore(t)
	c.settled(t, submission(1, 0), somebody(1))
	var large []*signer.Request
	for uid := range uint32(2) {
		r, err := c.Submit(t.Context(), submission(2, 10_000), somebody(uid), "")
		if err != nil {
			t.Fatal(err)
		}
		large = append(large, r)
	}
	_, err := c.Submit(t.Context(), submission(3, 0), somebody(3), "")
	var e *signer.Error
	if !errors.As(err, &e) || e.Kind != signer.KindBusy || e.Retry <= 0 || e.Request != nil {
		t.Fatalf("with a full queue: %v, want it busy, and when to come back", err)
	}
	for _, r := range large {
		if got, err := c.Cancel(t.Context(), r.ID, r.Requester); err != nil || got.State != signer.Cancelled {
			t.Fatalf("cancelling in the middle: %+v, %v", got, err)
		}
	}
	if got := c.settled(t, submission(3, 0), somebody(3)); got.State != signer.Signed {
		t.Errorf("after the queue was emptied: %s: %s", got.State, got.Reason)
	}
}

// testHealth holds the core's check of the key against what is so: it signs, and a
// backend that cannot is found out without anybody asking for a signature.
func testHealth(t *testing.T, s *suite) {
	c := s.withCore(t)
	state := func(well bool) {
		t.Helper()
		eventually(t, func() error {
			k, err := c.CheckKey(t.Context(), "key", somebody(0))
			if err == nil && (k.State == signer.KeyOK) != well {
				err = fmt.Errorf("the key is %s: %s", k.State, k.Detail)
			}
			return err
		})
	}
	state(true)
	heal := s.Break(t)
	state(false)
	if _, err := c.Submit(t.Context(), submission(1, 0), somebody(1), ""); err == nil {
		t.Error("a request was accepted for a key that cannot be used")
	} else {
		s.discreet(t, err)
	}
	heal()
	if got := c.settled(t, submission(1, 0), somebody(1)); got.State != signer.Signed {
		t.Errorf("after the backend came back: %s: %s", got.State, got.Reason)
	}
	state(true)
}
