package client

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

func TestTilePaths(t *testing.T) {
	for _, tc := range []struct{ found, want string }{
		{HashTilePath(0, 0, 256), "tile/0/000"},
		{HashTilePath(1, 5, 17), "tile/1/005.p/17"},
		{HashTilePath(0, 1234067, 256), "tile/0/x001/x234/067"},
		{HashTilePath(2, 1000, 1), "tile/2/x001/000.p/1"},
		{EntryBundlePath(999, 256), "tile/entries/999"},
		{EntryBundlePath(1234067, 255), "tile/entries/x001/x234/067.p/255"},
	} {
		if tc.found != tc.want {
			t.Errorf("found %s, want %s", tc.found, tc.want)
		}
	}
}

func TestEntryBundleRoundTrip(t *testing.T) {
	entries := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("x"), 1<<16-1)}
	var bundle []byte
	for _, e := range entries {
		var err error
		if bundle, err = AppendEntry(bundle, e); err != nil {
			t.Fatal(err)
		}
	}
	back, err := ParseEntryBundle(bundle)
	if err != nil || len(back) != 3 || !bytes.Equal(back[2], entries[2]) || len(back[1]) != 0 {
		t.Errorf("found %d entries and error %v, want the 3 that were put in", len(back), err)
	}
	for cut := 1; cut < 6; cut++ {
		if _, err := ParseEntryBundle(bundle[:len(bundle)-cut]); err == nil {
			t.Errorf("a bundle that lacks %d bytes was accepted", cut)
		}
	}
	if _, err := ParseEntryBundle([]byte{0}); err == nil {
		t.Error("half a length was accepted")
	}
	if _, err := AppendEntry(nil, make([]byte, 1<<16)); err == nil {
		t.Error("an entry of 65,536 bytes was accepted")
	}
}

func FuzzParseEntryBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0})
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseEntryBundle(data)
		if err != nil {
			return
		}
		var back []byte
		for _, e := range entries {
			if back, err = AppendEntry(back, e); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(back, data) {
			t.Errorf("%x was read as %q, which is written as %x", data, entries, back)
		}
	})
}

func TestLogCalls(t *testing.T) {
	d, c, _ := startFake(t, clienttest.Faults{})
	d.Grow(300)
	ctx := t.Context()
	msg, err := c.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, logKeyOf(t, d))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := c.LogEntries(ctx, 256, 300)
	if err != nil || len(entries) != 44 {
		t.Fatalf("found %d entries and error %v, want 44", len(entries), err)
	}
	bundle, err := c.EntryBundle(ctx, 1, 44)
	if err != nil || fmt.Sprintf("%q", bundle) != fmt.Sprintf("%q", entries) {
		t.Errorf("the bundle differs from the entries (error %v)", err)
	}

	entry, err := c.LogEntry(ctx, 299)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := ParseReceipt(&entry.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := VerifyReceipt(receipt, logKeyOf(t, d)); err != nil || leaf.Daemon != "fake 299" {
		t.Errorf("found leaf %+v and error %v, want that of entry 299", leaf, err)
	}

	inclusion, err := c.InclusionProof(ctx, 299, 300)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(hashes(t, inclusion.Proof), tree.N, tree.Hash, 299, tlog.RecordHash(entries[43])); err != nil {
		t.Error(err)
	}
	tile, err := c.HashTile(ctx, 0, 1, 44)
	if err != nil {
		t.Fatal(err)
	}
	if want := tlog.RecordHash(entries[0]); !bytes.Equal(tile[:32], want[:]) {
		t.Error("the tile does not begin with the hash of entry 256")
	}
	upper, err := c.HashTile(ctx, 1, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	consistency, err := c.ConsistencyProof(ctx, 256, 300)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(hashes(t, consistency.Proof), 300, tree.Hash, 256, tlog.Hash(upper)); err != nil {
		t.Error(err)
	}
	for _, r := range [][2]int64{{0, 257}, {5, 4}, {-1, 3}} {
		if _, err := c.LogEntries(ctx, r[0], r[1]); err == nil {
			t.Errorf("range %v was accepted", r)
		}
	}
}

func hashes(t *testing.T, proof []string) []tlog.Hash {
	t.Helper()
	var out []tlog.Hash
	for _, s := range proof {
		h, err := tlog.ParseHash(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
	return out
}
