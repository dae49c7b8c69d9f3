package backendtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// LogHarness is a real backend with the key of an audit log in it.
type LogHarness struct {
	// Open opens the key, which the suite closes. It may be called many times.
	Open func(t *testing.T) signer.LogKey
	// PublicKey is the key's public half.
	PublicKey ed25519.PublicKey
	// OpenOther opens a key in the backend that is not Ed25519.
	OpenOther func(t *testing.T) signer.LogKey
	// Break makes the backend unreachable until the function that it returns is
	// called.
	Break func(t *testing.T) (heal func())
	// Secrets must be in no error.
	Secrets []string
}

// RunLogKey judges a [signer.LogKey].
func RunLogKey(t *testing.T, h LogHarness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *logSuite)
	}{
		{"sign", testLogSign},
		{"public key", testLogPublicKey},
		{"zero text", testLogZeroText},
		{"not Ed25519", testLogOther},
		{"concurrency", testLogConcurrency},
		{"cancelled", testLogCancelled},
		{"close", testLogClose},
		{"close while in use", testLogCloseInUse},
		{"unreachable and back again", testLogUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &logSuite{h, &suite{Harness{Secrets: h.Secrets}}}) })
	}
}

type logSuite struct {
	LogHarness
	judge *suite // of errors
}

func (s *logSuite) open(t *testing.T) signer.LogKey {
	t.Helper()
	return s.opened(t, s.Open)
}

func (s *logSuite) opened(t *testing.T, open func(*testing.T) signer.LogKey) signer.LogKey {
	t.Helper()
	k := open(t)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing the log's key: %v", err)
		}
	})
	return k
}

// checkpoint returns the text of a checkpoint of a log with n entries.
func checkpoint(t *testing.T, n int64) audit.CheckpointText {
	t.Helper()
	text, err := audit.NewCheckpointText("log.example/bundles", tlog.Tree{N: n, Hash: sha256.Sum256([]byte(fmt.Sprint(n)))})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sign signs a checkpoint of n entries and checks the signature.
func (s *logSuite) sign(ctx context.Context, t *testing.T, k signer.LogKey, n int64) ([]byte, error) {
	t.Helper()
	text := checkpoint(t, n)
	signature, err := k.SignCheckpoint(ctx, text)
	if err != nil {
		s.judge.discreet(t, err)
		if signature != nil {
			t.Errorf("%d bytes of signature beside an error", len(signature))
		}
		return nil, err
	}
	if !ed25519.Verify(s.PublicKey, text.Bytes(), signature) {
		t.Errorf("checkpoint %d: the signature %x is wrong", n, signature)
	}
	return signature, nil
}

func testLogSign(t *testing.T, s *logSuite) {
	k := s.open(t)
	var made [][]byte
	for _, n := range []int64{0, 1, 2, 1 << 40, 1} {
		signature, err := s.sign(t.Context(), t, k, n)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, signature)
	}
	if !bytes.Equal(made[1], made[4]) {
		t.Error("two signatures over one text differ; Ed25519 is deterministic (RFC 8032, section 5.1.6)")
	}
}

func testLogPublicKey(t *testing.T, s *logSuite) {
	got, err := s.open(t).PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(s.PublicKey) {
		t.Errorf("public key %x, want %x", got, s.PublicKey)
	}
}

func testLogZeroText(t *testing.T, s *logSuite) {
	k := s.open(t)
	signature, err := k.SignCheckpoint(t.Context(), audit.CheckpointText{})
	if err == nil || signature != nil {
		t.Errorf("no text was signed: %x, error %v", signature, err)
	}
	s.judge.discreet(t, err)
}

func testLogOther(t *testing.T, s *logSuite) {
	k := s.opened(t, s.OpenOther)
	_, err := k.PublicKey(t.Context())
	s.judge.refused(t, err, signer.ErrKeyUnusable)
	_, err = k.SignCheckpoint(t.Context(), checkpoint(t, 1))
	s.judge.refused(t, err, signer.ErrKeyUnusable)
}

func testLogConcurrency(t *testing.T, s *logSuite) {
	k := s.open(t)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 4 {
				if _, err := s.sign(t.Context(), t, k, int64(g*4+i)); err != nil {
					t.Errorf("goroutine %d, round %d: %v", g, i, err)
				}
			}
		})
	}
	soon(t, "signing in 16 goroutines", wg.Wait)
}

func testLogCancelled(t *testing.T, s *logSuite) {
	k := s.open(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	soon(t, "a log's key whose context has ended", func() {
		_, err := s.sign(ended, t, k, 1)
		s.judge.refused(t, err, context.Canceled)
		_, err = k.PublicKey(ended)
		s.judge.refused(t, err, context.Canceled)
	})
	if _, err := s.sign(t.Context(), t, k, 1); err != nil {
		t.Error(err)
	}
}

func testLogClose(t *testing.T, s *logSuite) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used %t", used), func(t *testing.T) {
			k := s.Open(t)
			if used {
				if _, err := s.sign(t.Context(), t, k, 1); err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if err := k.Close(); err != nil {
					t.Fatalf("closing: %v", err)
				}
			}
			s.closed(t, k)
		})
	}
}

func (s *logSuite) closed(t *testing.T, k signer.LogKey) {
	t.Helper()
	_, err := s.sign(t.Context(), t, k, 1)
	s.judge.refused(t, err, signer.ErrKeyUnusable)
	_, err = k.PublicKey(t.Context())
	s.judge.refused(t, err, signer.ErrKeyUnusable)
}

func testLogCloseInUse(t *testing.T, s *logSuite) {
	k := s.Open(t)
	var wg sync.WaitGroup
	signed := make(chan struct{}, 1)
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, err := s.sign(t.Context(), t, k, int64(g+4*i)); err != nil {
					s.judge.refused(t, err, signer.ErrKeyUnusable)
					return
				}
				select {
				case signed <- struct{}{}:
				default:
				}
			}
		})
	}
	soon(t, "the first signature", func() { <-signed })
	soon(t, "closing a key in use", func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing a key in use: %v", err)
		}
	})
	soon(t, "the users of a closed key", wg.Wait)
	s.closed(t, k)
}

func testLogUnreachable(t *testing.T, s *logSuite) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %t", used), func(t *testing.T) {
			k := s.open(t)
			if used {
				if _, err := s.sign(t.Context(), t, k, 1); err != nil {
					t.Fatal(err)
				}
			}
			heal := s.Break(t)
			soon(t, "a call without a backend", func() {
				_, err := s.sign(t.Context(), t, k, 1)
				s.judge.refused(t, err, signer.ErrUnavailable)
				if errors.Is(err, signer.ErrKeyUnusable) {
					t.Errorf("error %v is both unavailable and unusable", err)
				}
				_, err = k.PublicKey(t.Context())
				s.judge.refused(t, err, signer.ErrUnavailable)
			})
			heal()
			eventually(t, func() error {
				_, err := s.sign(t.Context(), t, k, 2)
				return err
			})
		})
	}
}
