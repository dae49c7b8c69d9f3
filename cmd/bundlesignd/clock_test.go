package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// The clock was ten years ahead for one entry.
func TestLogWithEntriesFromTheFuture(t *testing.T) {
	dir := initialized(t)
	path := filepath.Join(dir, "config.yaml")
	cfg, _, err := config.Load(path, config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		t.Fatal(err)
	}
	state, err := openState(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = state.store.Update(t.Context(), func(tx signer.Tx) error {
		_, err := tx.Append(&audit.Leaf{Type: audit.LeafStarted, Time: time.Now().AddDate(10, 0, 0)})
		return err
	})
	if err := errors.Join(err, state.store.Close()); err != nil {
		t.Fatal(err)
	}

	d := startDaemon(t, dir)
	_, err = submitOnce(t, d.client, 1)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != 503 {
		t.Errorf("got %v, want that nothing is signed", err)
	}
	if st, err := d.client.Status(t.Context()); err != nil || st.State != "degraded" || !strings.Contains(st.Parts[0].Detail, "clock") {
		t.Errorf("status %+v, %v, want that it is the clock", st, err)
	}
	d.stop()

	out, err := bundlesignd("clock", "accept", "--config", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--reason") {
		t.Errorf("accepted without a reason: %v, %s", err, out)
	}
	out, err = bundlesignd("clock", "accept", "--config", path, "--reason", "the battery was empty").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the log goes on from "+time.Now().UTC().Format("2006-")) {
		t.Fatalf("%v: %s", err, out)
	}
	d = startDaemon(t, dir)
	if _, err := d.client.SubmitAndWait(t.Context(), bundle(1), ""); err != nil {
		t.Errorf("after the clock was accepted: %v", err)
	}
}
