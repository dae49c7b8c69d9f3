package main

import (
	"context"
	"sync"
	"testing"
	"time"
)

// The daemon starts before any of its backends is there: it says so, and heals when
// they come. Who asks for a signature meanwhile is told to come back, and gets it then.
func TestStartsBeforeItsBackends(t *testing.T) {
	ward := newWard(t)
	var heal []func()
	away := map[string]bool{}
	for _, p := range ward.patients {
		if p.name != "file" { // what is on this machine is there
			heal = append(heal, p.faults[0]())
			away[p.name] = true
		}
	}
	d := startDaemon(t, ward.dir)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, p := range ward.patients {
		check, err := d.client.CheckKey(ctx, p.name)
		if err != nil {
			t.Fatal(err)
		}
		if check.OK == away[p.name] {
			t.Errorf("%s is away: %t, and its check says %+v", p.name, away[p.name], check)
		}
		if check.Key.State == "ok" == away[p.name] || away[p.name] && check.Key.Detail == "" {
			t.Errorf("key %s is %s: %q, want it unavailable, and why", p.name, check.Key.State, check.Key.Detail)
		}
	}
	if st, err := d.client.Status(ctx); err != nil || st.State != "degraded" {
		t.Errorf("status %+v, %v, want it degraded", st, err)
	}
	var callers sync.WaitGroup
	for _, p := range ward.patients {
		callers.Go(func() {
			// The client waits as long as it is told to come back.
			if got, err := d.client.SubmitAndWait(ctx, p.submission(), ""); err != nil || got.State != "signed" {
				t.Errorf("%s: %+v, %v, want it signed", p.name, got, err)
			}
		})
	}
	for _, bring := range heal {
		bring()
	}
	callers.Wait()
	d.usable()
	if t.Failed() {
		t.Logf("the daemon's last words:\n%s", d.log.tail(60))
	}
	d.stop()
}
