package vault_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/vault"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

func hintOf(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if !errors.As(err, &hint) {
		return 0
	}
	return hint.RetryAfter()
}

// A real rate limit, of one request an hour. It does not come back in the time that one
// request may take, so it is told at once, with the time to come back at.
func TestRateLimit(t *testing.T) {
	s, uri := withToken(t)
	public := s.PublicKey(keyName, 1)
	k := openWith(t, uri, vault.Config{Timeout: 30 * time.Second})
	waited := k.FakeWait()
	works(t, k, public)
	s.Write("sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true})
	s.Write("sys/quotas/rate-limit/tight", map[string]any{"path": "transit/", "rate": 1, "interval": "1h"})
	_, _ = k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	refused(t, k, signer.ErrUnavailable, "rate limit")
	_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
	if got := hintOf(err); got != time.Minute {
		t.Errorf("error %v says to come back after %s, want 1m, which is the most", err, got)
	}
	if len(waited()) > 0 {
		t.Errorf("waited %v for what does not come back soon", waited())
	}
	s.Delete("sys/quotas/rate-limit/tight")
	works(t, k, public)
}

// Refusals that end in time are waited out, as long as Vault says, or longer each time.
func TestFakeQuotaIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		header string
		times  int32
		want   []time.Duration
		told   time.Duration // when to come back, if there is no end of it in 10 s
	}{
		"seconds":       {"2", 3, []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second}, 0},
		"rounded down":  {"0", 1, []time.Duration{time.Second}, 0},
		"does not say":  {"", 4, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}, 0},
		"nonsense":      {"soon", 1, []time.Duration{100 * time.Millisecond}, 0},
		"too often":     {"4", 9, []time.Duration{4 * time.Second, 4 * time.Second}, 4 * time.Second},
		"too long":      {"30", 1, nil, 30 * time.Second},
		"for a day":     {"86400", 1, nil, time.Minute},
		"in the past":   {"Mon, 02 Jan 2006 15:04:05 GMT", 1, []time.Duration{time.Second}, 0},
		"in the future": {"Fri, 01 Jan 2100 00:00:00 GMT", 1, nil, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var refusals atomic.Int32
			uri, _ := fakeVault(t, func(w http.ResponseWriter, r *http.Request) {
				if refusals.Add(1) <= test.times {
					w.Header().Set("Retry-After", test.header)
					w.WriteHeader(http.StatusTooManyRequests)
					fmt.Fprint(w, `{"errors":["rate limit quota exceeded"]}`)
					return
				}
				fmt.Fprintf(w, `{"data":{"signature":"vault:v1:%s"}}`, base64.StdEncoding.EncodeToString(make([]byte, 256)))
			})
			k := openWith(t, uri, vault.Config{Timeout: 10 * time.Second})
			waited := k.FakeWait()
			_, err := k.Sign(t.Context(), []capgo.Payload{payload(t, "a")})
			if !slices.Equal(waited(), test.want) {
				t.Errorf("waited %v, want %v", waited(), test.want)
			}
			if test.told == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			fails(t, err, signer.ErrUnavailable, "rate limit")
			if got := hintOf(err); got != test.told {
				t.Errorf("error %v says to come back after %s, want %s", err, got, test.told)
			}
		})
	}
}

// A sealed Vault behind a load balancer that says when it expects it back.
func TestFakeRetryAfterOfSealed(t *testing.T) {
	uri, _ := fakeVault(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := open(t, uri).Inspect(t.Context())
	fails(t, err, signer.ErrUnavailable, "sealed")
	if got := hintOf(err); got != 7*time.Second {
		t.Errorf("error %v says to come back after %s, want 7s", err, got)
	}
}
