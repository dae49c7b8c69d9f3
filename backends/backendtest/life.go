package backendtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func testInspect(t *testing.T, s *suite) {
	k := s.open(t)
	e, err := k.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !e.PublicKey.Equal(s.PublicKey) {
		t.Errorf("another public key: %s, want %s", e.PublicKey.Fingerprint(), s.PublicKey.Fingerprint())
	}
	if e.Custody.Level != s.Level || e.Custody.Backend != s.Backend {
		t.Errorf("custody %q by backend %q, want %q by %q; evidence %v", e.Custody.Level, e.Custody.Backend, s.Level, s.Backend, e.Custody.Evidence)
	}
	if len(e.Custody.Evidence) == 0 {
		t.Error("no evidence for the custody level")
	}
	for name, value := range e.Custody.Evidence {
		s.discreet(t, errors.New(value))
		if name == "" {
			t.Error("evidence without a name")
		}
	}
}

func testClose(t *testing.T, s *suite) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used %t", used), func(t *testing.T) {
			k := s.Open(t)
			if used {
				s.sign(t, k, checksum(t, "a", capgo.FormatHex))
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

func (s *suite) closed(t *testing.T, k signer.Key) {
	t.Helper()
	_, err := k.Sign(t.Context(), []capgo.Payload{checksum(t, "a", capgo.FormatHex)})
	s.refused(t, err, signer.ErrKeyUnusable)
	_, err = k.Inspect(t.Context())
	s.refused(t, err, signer.ErrKeyUnusable)
}

func testCloseInUse(t *testing.T, s *suite) {
	k := s.Open(t)
	s.sign(t, k, checksum(t, "a", capgo.FormatHex))
	var wg sync.WaitGroup
	var inside atomic.Int32
	signed := make(chan struct{}, 1)
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				payloads := []capgo.Payload{checksum(t, fmt.Sprint(g, i), capgo.FormatHex), capgo.SessionKeyPayload()}
				inside.Add(1)
				got, err := k.Sign(t.Context(), payloads)
				if err == nil {
					s.verify(t, payloads, got)
				}
				inside.Add(-1)
				if err != nil {
					// Whole or not at all: a call in flight is not broken off.
					s.refused(t, err, signer.ErrKeyUnusable)
					return
				}
				select {
				case signed <- struct{}{}:
				default:
				}
			}
		})
	}
	<-signed
	soon(t, "closing a key in use", func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing a key in use: %v", err)
		}
	})
	soon(t, "the users of a closed key", wg.Wait)
	if n := inside.Load(); n != 0 {
		t.Errorf("%d calls are still inside", n)
	}
	s.closed(t, k)
}

func testUnreachable(t *testing.T, s *suite) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %t", used), func(t *testing.T) { s.unreachable(t, used) })
	}
}

func (s *suite) unreachable(t *testing.T, used bool) {
	k := s.open(t)
	payload := checksum(t, "a", capgo.FormatHex)
	if used {
		s.sign(t, k, payload)
	}
	heal := s.Break(t)
	for range 3 {
		soon(t, "a call without a backend", func() {
			_, err := k.Sign(t.Context(), []capgo.Payload{payload})
			s.refused(t, err, signer.ErrUnavailable)
			if errors.Is(err, signer.ErrKeyUnusable) {
				t.Errorf("error %v is both unavailable and unusable", err)
			}
			_, err = k.Inspect(t.Context())
			s.refused(t, err, signer.ErrUnavailable)
		})
	}
	heal()
	eventually(t, func() error {
		got, err := k.Sign(t.Context(), []capgo.Payload{payload})
		if err != nil {
			s.discreet(t, err)
			return err
		}
		s.verify(t, []capgo.Payload{payload}, got)
		_, err = k.Inspect(t.Context())
		return err
	})
}
