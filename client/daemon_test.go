package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

func TestWaitReadyWaitsUntilTheDaemonIsWell(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		state := "degraded"
		if asked.Add(1) == 3 {
			state = "ok"
		}
		fmt.Fprintf(w, `{"state":%q}`, state)
	})
	status, err := c.WaitReady(t.Context())
	if err != nil || status.State != "ok" || asked.Load() != 3 {
		t.Errorf("asked %d times, found %+v and error %v; want ok at the third", asked.Load(), status, err)
	}
}

func TestWaitReadyReturnsWhatItSawLast(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"state":"degraded"}`) })
	c.sleep = func(context.Context, time.Duration) error {
		cancel()
		return ctx.Err()
	}
	if status, err := c.WaitReady(ctx); err != nil || status.State != "degraded" {
		t.Errorf("found %+v and error %v, want the degraded status", status, err)
	}

	nobody, slept := impatient(t, filepath.Join(t.TempDir(), "nobody"))
	pause := nobody.sleep
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	nobody.sleep = func(inner context.Context, d time.Duration) error {
		if len(*slept) == 3 {
			cancel()
		}
		return pause(inner, d)
	}
	_, err := nobody.WaitReady(ctx)
	var gone *UnreachableError
	if !errors.As(err, &gone) || gone.Reason != NoSocket || len(*slept) != 4 {
		t.Errorf("paused %v and found %v, want that there is no socket after the fourth pause", *slept, err)
	}
}

func TestWaitReadyDoesNotWaitForAnotherService(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) })
	var proto *ProtocolError
	if _, err := c.WaitReady(t.Context()); !errors.As(err, &proto) {
		t.Errorf("found %v, want a ProtocolError", err)
	}
}
