package backendtest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
)

func testKinds(t *testing.T, s *suite) {
	k := s.open(t)
	for _, p := range []capgo.Payload{
		checksum(t, "a", capgo.FormatHex),
		checksum(t, "a", capgo.FormatLegacy),
		capgo.SessionKeyPayload(),
	} {
		t.Run(p.Kind().String(), func(t *testing.T) { s.sign(t, k, p) })
	}
}

// testSameAsGo compares with an implementation of the operation that is not the
// backend's: the padding is deterministic, so every bit must be the same.
func testSameAsGo(t *testing.T, s *suite) {
	if s.PrivateKey == nil {
		t.Log("the private key is not known to the test; the other tests verify with the public key")
		return
	}
	k := s.open(t)
	for _, format := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
		for i := range 5 {
			p := checksum(t, fmt.Sprint("bundle ", i), format)
			material, err := p.Material(nil)
			if err != nil {
				t.Fatal(err)
			}
			want, err := rsa.SignPKCS1v15(nil, s.PrivateKey, crypto.Hash(0), material)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.sign(t, k, p)[0]; string(got[:]) != string(want) {
				t.Errorf("%s of bundle %d: the backend made\n%x\nand crypto/rsa\n%x", p.Kind(), i, got, want)
			}
		}
	}
}

func testSessionKeysDiffer(t *testing.T, s *suite) {
	k := s.open(t)
	seen := map[capgo.Signature]bool{}
	for range 3 {
		for _, signature := range s.sign(t, k, capgo.SessionKeyPayload(), capgo.SessionKeyPayload()) {
			if seen[signature] {
				t.Fatal("two session keys are the same")
			}
			seen[signature] = true
		}
	}
}

func testZeroPayload(t *testing.T, s *suite) {
	k := s.open(t)
	good := checksum(t, "a", capgo.FormatHex)
	for _, payloads := range [][]capgo.Payload{{{}}, {good, {}}, {{}, good}} {
		got, err := k.Sign(t.Context(), payloads)
		if err == nil {
			t.Errorf("the zero payload among %d was signed", len(payloads))
		}
		if len(got) != 0 {
			t.Errorf("%d signatures beside an error", len(got))
		}
		s.discreet(t, err)
	}
	s.sign(t, k, good)
}

func testBatchOrder(t *testing.T, s *suite) {
	k := s.open(t)
	var payloads []capgo.Payload
	for i := range 50 {
		switch i % 3 {
		case 0:
			payloads = append(payloads, checksum(t, fmt.Sprint(i), capgo.FormatHex))
		case 1:
			payloads = append(payloads, checksum(t, fmt.Sprint(i), capgo.FormatLegacy))
		case 2:
			payloads = append(payloads, capgo.SessionKeyPayload())
		}
	}
	// Verifying each with its own payload shows the order.
	s.sign(t, k, payloads...)
}

func testEmptyBatch(t *testing.T, s *suite) {
	k := s.open(t)
	got, err := k.Sign(t.Context(), nil)
	if err != nil || len(got) != 0 {
		t.Errorf("an empty batch gave %d signatures and error %v, want none and none", len(got), err)
	}
}

func testConcurrency(t *testing.T, s *suite) {
	k := s.open(t)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 4 {
				payloads := []capgo.Payload{
					checksum(t, fmt.Sprint(g, i), capgo.FormatHex),
					capgo.SessionKeyPayload(),
				}
				got, err := k.Sign(t.Context(), payloads)
				if err != nil {
					s.discreet(t, err)
					t.Errorf("goroutine %d, round %d: %v", g, i, err)
					return
				}
				s.verify(t, payloads, got)
			}
		})
	}
	soon(t, "signing in 32 goroutines", wg.Wait)
}

func testCancelled(t *testing.T, s *suite) {
	k := s.open(t)
	s.sign(t, k, checksum(t, "a", capgo.FormatHex))

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	soon(t, "Sign with a context that has ended", func() {
		got, err := k.Sign(cancelled, []capgo.Payload{checksum(t, "a", capgo.FormatHex)})
		s.refused(t, err, context.Canceled)
		if len(got) != 0 {
			t.Errorf("%d signatures beside an error", len(got))
		}
	})
	soon(t, "Inspect with a context that has ended", func() {
		_, err := k.Inspect(cancelled)
		s.refused(t, err, context.Canceled)
	})

	// A batch that takes seconds is left as soon as its context ends.
	long := make([]capgo.Payload, 20_000)
	for i := range long {
		long[i] = checksum(t, fmt.Sprint(i), capgo.FormatHex)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		close(began)
		_, err := k.Sign(ctx, long)
		s.refused(t, err, context.Canceled)
	})
	<-began
	// Other calls get their turn beside the long one.
	s.sign(t, k, checksum(t, "b", capgo.FormatHex))
	cancel()
	soon(t, "Sign whose context ended", wg.Wait)
	s.sign(t, k, checksum(t, "c", capgo.FormatHex))
}

// testDeadline lets the caller's deadline come in the middle of a batch that takes
// seconds: nothing of it comes back, and the key works on.
func testDeadline(t *testing.T, s *suite) {
	k := s.open(t)
	s.sign(t, k, checksum(t, "a", capgo.FormatHex))
	long := make([]capgo.Payload, 20_000)
	for i := range long {
		long[i] = checksum(t, fmt.Sprint(i), capgo.FormatHex)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	soon(t, "Sign whose deadline came", func() {
		got, err := k.Sign(ctx, long)
		s.refused(t, err, context.DeadlineExceeded)
		if len(got) != 0 {
			t.Errorf("%d signatures beside an error", len(got))
		}
	})
	s.sign(t, k, checksum(t, "b", capgo.FormatHex))
}
