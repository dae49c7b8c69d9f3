package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

func TestQuarantineIsListedAndReleased(t *testing.T) {
	dir := initialized(t)
	path := filepath.Join(dir, "config.yaml")
	quarantine := func(args ...string) (string, error) {
		out, err := bundlesignd(append([]string{"quarantine", "--config", path}, args...)...).CombinedOutput()
		return string(out), err
	}
	cfg, _, err := config.Load(path, config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		t.Fatal(err)
	}
	state, err := openState(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = state.store.Update(t.Context(), func(tx signer.Tx) error { return tx.Quarantine("acme-shop", "a wrong signature") })
	if err := errors.Join(err, state.store.Close()); err != nil {
		t.Fatal(err)
	}

	d := startDaemon(t, dir)
	_, err = submitOnce(t, d.client, 1)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Type != wire.ProblemKeyUnusable || !strings.Contains(p.Detail, "a wrong signature") {
		t.Errorf("got %v, want that the key must not be used, and why", err)
	}
	if out, err := quarantine("release", "acme-shop", "--reason", "repaired"); err == nil || !strings.Contains(out, "in use by process") {
		t.Errorf("released under a running daemon: %v, %s", err, out)
	}
	d.stop()

	if out, err := quarantine("list"); err != nil || out != "acme-shop: a wrong signature\n" {
		t.Errorf("list printed %q, %v", out, err)
	}
	if out, err := quarantine("release", "acme-shop"); err == nil || !strings.Contains(out, "--reason") {
		t.Errorf("released without a reason: %v, %s", err, out)
	}
	if out, err := quarantine("release", "other", "--reason", "x"); err == nil || !strings.Contains(out, "not in quarantine") {
		t.Errorf("released a key that is not in quarantine: %v, %s", err, out)
	}
	if out, err := quarantine("release", "acme-shop", "--reason", "repaired"); err != nil || !strings.Contains(out, "is released") {
		t.Errorf("release printed %q, %v", out, err)
	}

	d = startDaemon(t, dir)
	sig, err := d.client.SubmitAndWait(t.Context(), bundle(1), "")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	entries, err := d.client.LogEntries(t.Context(), 0, sig.Log.Index)
	if err != nil {
		t.Fatal(err)
	}
	released := false
	for _, e := range entries {
		if l, err := audit.DecodeLeaf(e); err == nil && l.Type == audit.LeafReleased {
			released = l.Key == "acme-shop" && l.Reason == "repaired" && l.Requester != nil
		}
	}
	if !released {
		t.Error("the log does not say who released it and why")
	}
}
