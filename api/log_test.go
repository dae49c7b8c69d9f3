package api_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

func hashes(t *testing.T, in []string) []tlog.Hash {
	t.Helper()
	out := make([]tlog.Hash, len(in))
	for i, s := range in {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != tlog.HashSize {
			t.Fatalf("hash %q: %v", s, err)
		}
		out[i] = tlog.Hash(b)
	}
	return out
}

func TestLogEndpointsProveEachOther(t *testing.T) {
	r := newRig(t, api.Config{})
	for i := range 4 {
		r.submit(func(s *wire.Submit) { s.Version = fmt.Sprintf("1.0.%d", i) }).signature(201)
	}
	msg := r.get("/v1/log/checkpoint").body
	tree, err := audit.OpenCheckpoint(msg, r.verifier)
	if err != nil {
		t.Fatal(err)
	}
	if tree.N != 9 {
		t.Fatalf("the log has %d entries, want 9: a start, 4 authorizations, 4 signatures", tree.N)
	}
	var entries wire.LogEntries
	r.get("/v1/log/entries").into(&entries)
	bundle := r.get(fmt.Sprintf("/v1/log/tile/entries/000.p/%d", tree.N)).body
	tile := r.get(fmt.Sprintf("/v1/log/tile/0/000.p/%d", tree.N)).body
	for i := range tree.N {
		var e wire.LogEntry
		r.get(fmt.Sprintf("/v1/log/entries/%d", i)).into(&e)
		rec := audit.Receipt{Index: e.Index, Entry: []byte(e.Entry), Checkpoint: []byte(e.Checkpoint), Proof: hashes(t, e.Proof)}
		if err := rec.Verify(r.verifier); err != nil {
			t.Error(err)
		}
		if entries.Entries[i] != e.Entry {
			t.Errorf("entry %d differs between endpoints", i)
		}
		n := binary.BigEndian.Uint16(bundle)
		if string(bundle[2:2+n]) != e.Entry {
			t.Errorf("entry %d differs in the bundle", i)
		}
		bundle = bundle[2+n:]
		if tlog.Hash(tile[i*32:(i+1)*32]) != tlog.RecordHash([]byte(e.Entry)) {
			t.Errorf("tile hash %d is not the entry's", i)
		}
		var p wire.LogProof
		r.get(fmt.Sprintf("/v1/log/proof?index=%d", i)).into(&p)
		if err := tlog.CheckRecord(hashes(t, p.Proof), tree.N, tree.Hash, i, tlog.RecordHash([]byte(e.Entry))); err != nil {
			t.Error(err)
		}
	}
	if len(bundle) != 0 {
		t.Errorf("%d bytes after the last entry", len(bundle))
	}
	var older wire.LogEntry
	r.get("/v1/log/entries/0").into(&older)
	_, old, err := audit.ReadCheckpoint([]byte(older.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	var p wire.LogProof
	r.get(fmt.Sprintf("/v1/log/proof?from=%d", old.N)).into(&p)
	if err := tlog.CheckTree(hashes(t, p.Proof), tree.N, tree.Hash, old.N, old.Hash); err != nil {
		t.Error(err)
	}
	for _, path := range []string{
		"0/x036/x028/x797/x018/x963/967", "1/x036/x028/x797/x018/x963/967", "7/x036/x028/x797/x018/x963/967", // overflow
		"0/000", "0/001.p/1", "1/000.p/1", "0/000.p/10", "data/000.p/1", "8/0/000.p/1", "-1/000.p/1", "0/x000/000.p/1", "entries/001", "63/000.p/1", "0/..%2f000",
	} {
		r.get("/v1/log/tile/"+path).problem(404, wire.ProblemNotFound)
	}
}
