package idtoken_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/idtoken/idtokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a verifier with one issuer, "ci".
type rig struct {
	*idtokentest.Issuer
	t     *testing.T
	clock *clock
	v     *idtoken.Verifier
}

func newRig(t *testing.T) *rig {
	t.Helper()
	is := idtokentest.New(t)
	c := newClock()
	v := newVerifier(t, c, zaptest.NewLogger(t), idtoken.Issuer{Name: "ci", URL: is.URL, Audience: idtokentest.Audience, CA: is.CA()})
	return &rig{is, t, c, v}
}

func newVerifier(t *testing.T, c *clock, log *zap.Logger, issuers ...idtoken.Issuer) *idtoken.Verifier {
	t.Helper()
	v, err := idtoken.New(idtoken.Config{Issuers: issuers, Now: c.Now, ReadFile: readFile, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// readFile is without the checks of the daemon's own.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// claims are those of a good token, changed.
func (r *rig) claims(change func(map[string]any)) map[string]any {
	c := r.Claims(r.clock.Now())
	if change != nil {
		change(c)
	}
	return c
}

func (r *rig) good(raw string) {
	r.t.Helper()
	if _, err := r.v.Verify(r.t.Context(), raw); err != nil {
		r.t.Errorf("a good token: %v", err)
	}
}

// refused checks that a token is refused for a reason with this text in it, and
// that the error does not give it away.
func (r *rig) refused(raw, want string) {
	r.t.Helper()
	mustRefuse(r.t, r.v, raw, want)
}

func mustRefuse(t *testing.T, v *idtoken.Verifier, raw, want string) {
	t.Helper()
	got, err := v.Verify(t.Context(), raw)
	var refused *idtoken.RefusedError
	if !errors.As(err, &refused) || got != nil {
		t.Errorf("got %+v, %v, want it refused (%s)", got, err, want)
		return
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %q, want %q in it", err, want)
	}
	mustNotShow(t, err, raw)
}

func mustNotShow(t *testing.T, err error, raw string) {
	t.Helper()
	for piece := range strings.SplitSeq(raw, ".") {
		if len(piece) > 20 && strings.Contains(err.Error(), piece[:20]) {
			t.Errorf("the error %q shows a part of the token", err)
		}
	}
}

// unavailable checks that a token cannot be judged now.
func (r *rig) unavailable(raw, want string) *idtoken.UnavailableError {
	r.t.Helper()
	got, err := r.v.Verify(r.t.Context(), raw)
	var away *idtoken.UnavailableError
	if !errors.As(err, &away) || got != nil {
		r.t.Fatalf("got %+v, %v, want that it cannot be judged now", got, err)
	}
	if !strings.Contains(err.Error(), want) {
		r.t.Errorf("unavailable with %q, want %q in it", err, want)
	}
	if away.Retry <= 0 {
		r.t.Errorf("unavailable with Retry %v, want when to try again", away.Retry)
	}
	mustNotShow(r.t, err, raw)
	return away
}

// forge makes a token of any header, payload and signature.
func forge(t *testing.T, header, payload any, sign func(input []byte) []byte) string {
	t.Helper()
	piece := func(v any) string {
		if s, ok := v.(string); ok {
			return base64.RawURLEncoding.EncodeToString([]byte(s))
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	input := piece(header) + "." + piece(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}
