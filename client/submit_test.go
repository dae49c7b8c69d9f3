package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startFake runs a daemon with faults, and returns it with a client that does
// not wait between attempts but notes how long it would have.
func startFake(t *testing.T, faults clienttest.Faults) (*clienttest.FakeDaemon, *Client, *[]time.Duration) {
	t.Helper()
	d, err := clienttest.NewFakeDaemon(filepath.Join(t.TempDir(), "s"), faults)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	c, slept := impatient(t, d.Socket())
	return d, c, slept
}

// impatient returns a client whose clock is moved by its own pauses.
func impatient(t *testing.T, socket string) (*Client, *[]time.Duration) {
	t.Helper()
	c := New(socket)
	t.Cleanup(c.Close)
	var slept []time.Duration
	var ahead time.Duration
	c.now = func() time.Time { return time.Now().Add(ahead) }
	c.jitter = func() float64 { return 0.5 }
	c.sleep = func(ctx context.Context, d time.Duration) error {
		slept = append(slept, d)
		ahead += d
		return context.Cause(ctx)
	}
	return c, &slept
}

func submission() *wire.Submit {
	return &wire.Submit{
		AppID: "com.example.app", Channel: "production", Version: "1.2.3",
		Digest: capgo.Digest(sha256.Sum256([]byte("bundle"))).String(),
		Labels: map[string]string{"commit": "abc"},
	}
}

func TestSubmitIsRepeatedWhenTheConnectionIsLost(t *testing.T) {
	d, c, slept := startFake(t, clienttest.Faults{Drop: 3})
	sig, err := c.Submit(t.Context(), submission(), "")
	if err != nil {
		t.Fatal(err)
	}
	if sig.State != StateSigned {
		t.Errorf("state %q, want signed", sig.State)
	}
	submissions, requests := d.Counts()
	if submissions != 4 || requests != 1 {
		t.Errorf("%d submissions made %d requests, want 4 and 1: a repeated submission must name itself", submissions, requests)
	}
	if len(*slept) != 3 || (*slept)[2] <= (*slept)[0] {
		t.Errorf("paused %v, want three growing pauses", *slept)
	}
}

func TestSubmitWaitsAsLongAsABusyDaemonAsks(t *testing.T) {
	d, c, slept := startFake(t, clienttest.Faults{Busy: 2})
	var told []Notice
	c.observe = func(n Notice) { told = append(told, n) }
	if _, err := c.Submit(t.Context(), submission(), ""); err != nil {
		t.Fatal(err)
	}
	if submissions, _ := d.Counts(); submissions != 3 {
		t.Errorf("%d submissions, want 3", submissions)
	}
	for _, s := range *slept {
		if s < time.Second || s > 2*time.Second {
			t.Errorf("paused %v after Retry-After: 1, want 1s and some jitter", s)
		}
	}
	var p *wire.Problem
	if len(told) != 2 || !errors.As(told[0].Err, &p) || p.Type != wire.ProblemBusy {
		t.Errorf("observer was told %+v, want twice that the daemon is busy", told)
	}
}

func TestSubmitGivesUpBeforeItsDeadlineWhenTheDaemonStaysBusy(t *testing.T) {
	_, c, _ := startFake(t, clienttest.Faults{Busy: 1 << 30})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.Submit(ctx, submission(), "")
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemBusy || !errors.Is(err, errNoTime) {
		t.Errorf("found %v, want the busy problem and that the time is over", err)
	}
	if ctx.Err() != nil {
		t.Error("waited for real, want to give up without waiting for what comes too late")
	}
}

func TestSubmitDoesNotRepeatARefusal(t *testing.T) {
	d, c, slept := startFake(t, clienttest.Faults{Deny: true})
	_, err := c.Submit(t.Context(), submission(), "")
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemDenied || p.RequestID != "denied-1" || p.Status != http.StatusForbidden {
		t.Errorf("found %#v, want the denial", err)
	}
	if submissions, _ := d.Counts(); submissions != 1 || len(*slept) != 0 {
		t.Errorf("%d submissions and pauses %v, want one submission", submissions, *slept)
	}
}

func TestSubmitToNobodyFailsAtOnce(t *testing.T) {
	c, slept := impatient(t, filepath.Join(t.TempDir(), "nobody"))
	_, err := c.Submit(t.Context(), submission(), "")
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != NoSocket {
		t.Errorf("found %v, want that there is no socket", err)
	}
	if len(*slept) != 0 {
		t.Errorf("paused %v, want none", *slept)
	}
}

func TestSubmitRefusesAKeyThatIsNoHeader(t *testing.T) {
	c := New("unused")
	for _, key := range []string{"a\r\nX-Evil: 1", "ünicode", strings.Repeat("x", 129)} {
		if _, err := c.Submit(t.Context(), submission(), key); err == nil || !strings.Contains(err.Error(), "idempotency key") {
			t.Errorf("key %q: found error %v, want one about the idempotency key", key, err)
		}
	}
}

func TestSubmitSendsTheNameItIsGiven(t *testing.T) {
	for _, name := range []string{"", "release-7"} {
		var got []string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Values("Idempotency-Key")...)
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"id":"a","state":"pending"}`)
		})
		if _, err := c.Submit(t.Context(), submission(), name); err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, ",") != name {
			t.Errorf("found the names %q, want %q alone: a drawn or derived one would make a denial stick", got, name)
		}
	}
}

func TestSubmitOfARequestThatHasEnded(t *testing.T) {
	for state, want := range map[string]bool{StateCancelled: true, StateSigned: false, "": false} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", wire.MediaTypeProblem)
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintf(w, `{"type":%q,"detail":"no","request_id":"a","state":%q}`, wire.ProblemConflict, state)
		})
		_, err := c.Submit(t.Context(), submission(), "")
		var end *StateError
		if errors.As(err, &end) != want {
			t.Errorf("state %q: found %v, want a StateError: %t", state, err, want)
		}
	}
}

func TestWaitFollowsAPendingRequest(t *testing.T) {
	_, c, _ := startFake(t, clienttest.Faults{Polls: 3})
	pending := 0
	c.observe = func(n Notice) {
		if n.Pending != nil {
			pending++
		}
	}
	sub := submission()
	sig, err := c.SubmitAndWait(t.Context(), sub, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckSigned(sig, Expect{Submit: sub}); err != nil {
		t.Error(err)
	}
	if pending != 3 {
		t.Errorf("observer was told %d times that the request is pending, want 3", pending)
	}
}

func TestWaitPausesBetweenPollsThatAreNotHeld(t *testing.T) {
	_, c, slept := startFake(t, clienttest.Faults{Polls: 5})
	if _, err := c.SubmitAndWait(t.Context(), submission(), ""); err != nil {
		t.Fatal(err)
	}
	if len(*slept) != 5 {
		t.Errorf("paused %d times, want 5: a daemon that does not hold polls must not be asked in a tight loop", len(*slept))
	}
}

func TestWaitSurvivesARestart(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{Polls: 2})
	stopped, pauses := false, 0
	c.observe = func(n Notice) {
		switch {
		case n.Pending != nil && !stopped:
			d.Stop()
			stopped = true
		case n.Err != nil && pauses == 3:
			if err := d.Start(); err != nil {
				t.Error(err)
			}
			pauses++
		case n.Err != nil:
			pauses++
		}
	}
	sig, err := c.SubmitAndWait(t.Context(), submission(), "")
	if err != nil {
		t.Fatal(err)
	}
	if sig.State != StateSigned || pauses < 4 {
		t.Errorf("state %q after %d attempts to reach a daemon that was stopped, want signed after at least 4", sig.State, pauses)
	}
}

func TestWaitDoesNotWaitForADaemonThatStaysAway(t *testing.T) {
	d, c, slept := startFake(t, clienttest.Faults{Polls: 2})
	c.observe = func(n Notice) {
		if n.Pending != nil {
			d.Stop()
		}
	}
	_, err := c.SubmitAndWait(t.Context(), submission(), "")
	var gone *UnreachableError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "fake-1") {
		t.Errorf("found %v, want that the daemon is gone, and the request", err)
	}
	var total time.Duration
	for _, s := range *slept {
		total += s
	}
	if total < 50*time.Second || total > time.Minute {
		t.Errorf("went on for %v, want about the minute of WithReconnect", total)
	}
}

func TestWaitEndsAsTheRequestDoes(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	for _, end := range []string{StateDenied, StateRejected, StateExpired, StateCancelled, StateFailed} {
		t.Run(end, func(t *testing.T) {
			d.SetFaults(clienttest.Faults{Polls: 1, End: end})
			_, err := c.SubmitAndWait(t.Context(), submission(), "")
			var state *StateError
			if !errors.As(err, &state) || state.Signature.State != end || !strings.Contains(err.Error(), "on order") {
				t.Errorf("found %v, want a StateError with the state and its reason", err)
			}
		})
	}
	t.Run("unknown state", func(t *testing.T) {
		d.SetFaults(clienttest.Faults{Polls: 1, End: "levitating"})
		_, err := c.SubmitAndWait(t.Context(), submission(), "")
		var proto *ProtocolError
		if !errors.As(err, &proto) {
			t.Errorf("found %v, want a ProtocolError", err)
		}
	})
}

func TestWaitIsOverWithItsContext(t *testing.T) {
	_, c, _ := startFake(t, clienttest.Faults{Polls: -1})
	ctx, cancel := context.WithCancel(t.Context())
	polls := 0
	c.observe = func(n Notice) {
		if polls++; polls == 3 {
			cancel()
		}
	}
	_, err := c.SubmitAndWait(ctx, submission(), "")
	var pending *PendingError
	if !errors.As(err, &pending) || pending.Signature.ID != "fake-1" || !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want a PendingError that names the request", err)
	}
}
