// Package backendtest judges key backends: one suite, run against every one of
// them, that holds each to the contract of [signer.Key], by itself and in the hands
// of the daemon's core. [RunMaker] and [RunLogKey] do the same for what makes keys
// and for the log's.
package backendtest

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// patience bounds what has to happen at some time; nothing takes as long on a
// machine that works.
const patience = 60 * time.Second

// Harness is a real backend with a key in it.
type Harness struct {
	// Open opens the key, which the suite closes. It may be called many times.
	Open func(t *testing.T) signer.Key
	// PublicKey is the key's public half.
	PublicKey *capgo.PublicKey
	// PrivateKey is the key itself, if the harness knows it.
	PrivateKey *rsa.PrivateKey
	// Backend and Level are what the custody evidence must say.
	Backend string
	Level   signer.CustodyLevel
	// Break makes the backend unreachable until the function that it returns is
	// called.
	Break func(t *testing.T) (heal func())
	// Secrets must be in no error and in no entry of the core's log.
	Secrets []string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"every kind of payload", testKinds},
		{"same as crypto-rsa", testSameAsGo},
		{"session keys differ", testSessionKeysDiffer},
		{"zero payload", testZeroPayload},
		{"order of a batch", testBatchOrder},
		{"empty batch", testEmptyBatch},
		{"concurrency", testConcurrency},
		{"cancelled", testCancelled},
		{"deadline", testDeadline},
		{"inspect", testInspect},
		{"close", testClose},
		{"close while in use", testCloseInUse},
		{"unreachable and back again", testUnreachable},
		{"through the core", testThroughCore},
		{"full queue", testBusy},
		{"health", testHealth},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &suite{h}) })
	}
}

type suite struct{ Harness }

// open opens the key for one test.
func (s *suite) open(t *testing.T) signer.Key {
	t.Helper()
	k := s.Open(t)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the key: %v", err)
		}
	})
	return k
}

// refused checks that an error is of the kind that it should be and holds no
// secret.
func (s *suite) refused(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that wraps %q", err, want)
	}
	s.discreet(t, err)
}

// discreet checks that an error holds no secret.
func (s *suite) discreet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range s.Secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("an error or log entry holds a secret (its text is not repeated here)")
		}
	}
}

// sign signs and checks what comes back with the public key.
func (s *suite) sign(t *testing.T, k signer.Key, payloads ...capgo.Payload) []capgo.Signature {
	t.Helper()
	signatures, err := k.Sign(t.Context(), payloads)
	if err != nil {
		s.discreet(t, err)
		t.Fatalf("signing %d payloads: %v", len(payloads), err)
	}
	s.verify(t, payloads, signatures)
	return signatures
}

func (s *suite) verify(t *testing.T, payloads []capgo.Payload, signatures []capgo.Signature) {
	t.Helper()
	if len(signatures) != len(payloads) {
		t.Errorf("%d signatures for %d payloads", len(signatures), len(payloads))
		return
	}
	for i, p := range payloads {
		if err := s.PublicKey.Verify(p, signatures[i]); err != nil {
			t.Errorf("signature %d of %d: %v", i, len(payloads), err)
		}
	}
}

func checksum(t *testing.T, text string, format capgo.ChecksumFormat) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), format)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// soon fails the test if f does not return for a long time.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not return within %s", what, patience)
	}
}

// eventually runs f until it returns no error, and fails the test if it keeps
// returning one.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still after %s: %v", patience, err)
		}
	}
}
