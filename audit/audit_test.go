package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit/audittest"
	"github.com/bundlesign/bundlesign/policy"
)

const origin = "example.com/bundlesign-test"

func logKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	k := audittest.NewLogKey(t, name)
	return k.Signer, k.Verifier
}

// memoryLog is a tree in memory.
type memoryLog struct {
	entries [][]byte
	hashes  []tlog.Hash
}

func (l *memoryLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func (l *memoryLog) add(t *testing.T, entry []byte) {
	t.Helper()
	hs, err := tlog.StoredHashes(int64(len(l.entries)), entry, l)
	if err != nil {
		t.Fatal(err)
	}
	l.entries, l.hashes = append(l.entries, entry), append(l.hashes, hs...)
}

func (l *memoryLog) tree(t *testing.T) tlog.Tree {
	t.Helper()
	h, err := tlog.TreeHash(int64(len(l.entries)), l)
	if err != nil {
		t.Fatal(err)
	}
	return tlog.Tree{N: int64(len(l.entries)), Hash: h}
}

func TestReceiptVerifiesAndRefusesEveryChange(t *testing.T) {
	s, v := logKey(t, origin)
	var l memoryLog
	for i := range 13 {
		l.add(t, fmt.Appendf(nil, "entry %d", i))
	}
	tree := l.tree(t)
	msg, err := SignCheckpoint(tree, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tree.N {
		proof, err := tlog.ProveRecord(tree.N, i, &l)
		if err != nil {
			t.Fatal(err)
		}
		good := Receipt{Index: i, Entry: l.entries[i], Checkpoint: msg, Proof: proof}
		if err := good.Verify(v); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		for name, change := range map[string]func(*Receipt){
			"entry": func(r *Receipt) { r.Entry = append([]byte("x"), r.Entry...) },
			"index": func(r *Receipt) { r.Index = (r.Index + 1) % tree.N },
			"proof": func(r *Receipt) {
				r.Proof = append(tlog.RecordProof(nil), r.Proof...)
				r.Proof[0][3] ^= 1
			},
			"short proof":    func(r *Receipt) { r.Proof = r.Proof[1:] },
			"negative index": func(r *Receipt) { r.Index = -1 },
			"index too high": func(r *Receipt) { r.Index = tree.N },
			"checkpoint":     func(r *Receipt) { r.Checkpoint = []byte(strings.Replace(string(msg), "13", "14", 1)) },
		} {
			bad := good
			change(&bad)
			if bad.Verify(v) == nil {
				t.Errorf("entry %d with another %s still verifies", i, name)
			}
		}
	}
}

func TestCheckpointOfAnotherLogIsRefused(t *testing.T) {
	s, v := logKey(t, origin)
	impostor, _ := logKey(t, origin)
	other, _ := logKey(t, "example.com/other")
	tree := tlog.Tree{N: 1, Hash: tlog.RecordHash([]byte("x"))}
	for name, signer := range map[string]note.Signer{"same name, other key": impostor, "other name": other} {
		msg, err := SignCheckpoint(tree, signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCheckpoint(msg, v); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// The right key under a text that names another origin: the key of a log must
	// not vouch for another one's tree.
	msg, err := note.Sign(&note.Note{Text: checkpointText("example.com/other", tree)}, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(msg, v); err == nil || !strings.Contains(err.Error(), "origin") {
		t.Errorf("got %v, want an error that names the origin", err)
	}
}

// The form is C2SP tlog-checkpoint: origin, decimal size, base64 root, blank
// line, signature lines.
func TestCheckpointForm(t *testing.T) {
	s, v := logKey(t, origin)
	tree := tlog.Tree{N: 3, Hash: tlog.RecordHash([]byte("x"))}
	msg, err := SignCheckpoint(tree, s)
	if err != nil {
		t.Fatal(err)
	}
	want := origin + "\n3\n" + tree.Hash.String() + "\n\n— " + origin + " "
	if !strings.HasPrefix(string(msg), want) {
		t.Errorf("got %q, want it to begin with %q", msg, want)
	}
	got, err := OpenCheckpoint(msg, v)
	if err != nil || got != tree {
		t.Errorf("got %v, %v, want %v", got, err, tree)
	}
}

func TestReadCheckpointRefusesWhatIsNotCanonical(t *testing.T) {
	hash := tlog.RecordHash([]byte("x")).String()
	for name, text := range map[string]string{
		"leading zero":   "o\n03\n" + hash + "\n\nsig",
		"negative":       "o\n-3\n" + hash + "\n\nsig",
		"extension line": "o\n3\n" + hash + "\nextension\n\nsig",
		"no origin":      "\n3\n" + hash + "\n\nsig",
		"short hash":     "o\n3\nAAAA\n\nsig",
		"no signature":   "o\n3\n" + hash + "\n",
		"empty":          "",
	} {
		if _, _, err := ReadCheckpoint([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLeafRoundTrip(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("x", 3600))
	leaf := &Leaf{Type: LeafDenied, Time: at, Request: "r1", AppID: "com.acme.shop", Requester: &policy.Identity{UID: 0, User: "root"}}
	b, err := leaf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"type":"denied","time":"2026-03-01T11:00:00.123456Z","request":"r1","app_id":"com.acme.shop","requester":{"uid":0,"gid":0,"user":"root"}}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	got, err := DecodeLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Encode()
	if err != nil || string(again) != want {
		t.Errorf("decoded and encoded again: %s, %v", again, err)
	}
}

func TestLeafBounds(t *testing.T) {
	if _, err := (&Leaf{Type: LeafFailed, Reason: strings.Repeat("x", MaxLeaf)}).Encode(); err == nil {
		t.Error("a leaf over 64 KiB was encoded")
	}
	for _, s := range []string{``, `{}`, `{"v":2}`, `[]`} {
		if _, err := DecodeLeaf([]byte(s)); err == nil {
			t.Errorf("DecodeLeaf(%q) accepted", s)
		}
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	f.Add([]byte("o\n3\n" + tlog.RecordHash(nil).String() + "\n\n— o sig\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		origin, tree, err := ReadCheckpoint(b)
		if err == nil && !strings.HasPrefix(string(b), checkpointText(origin, tree)+"\n") {
			t.Errorf("accepted %q as %q %v", b, origin, tree)
		}
	})
}

func FuzzDecodeLeaf(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"denied","time":"2026-03-01T11:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := DecodeLeaf(b); err == nil && l.Version != 1 {
			t.Errorf("accepted version %d", l.Version)
		}
	})
}

// What reaches the log's key is the text of a checkpoint and nothing else.
func TestCheckpointText(t *testing.T) {
	tree := tlog.Tree{N: 7}
	text, err := NewCheckpointText("example.com/log", tree)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseCheckpointText(text.Bytes())
	if err != nil || again != text {
		t.Errorf("parsed: %q, %v, want what was made", again.Bytes(), err)
	}
	for _, bad := range []string{
		"", "example.com/log\n", string(text.Bytes()) + "extension\n", strings.TrimSuffix(string(text.Bytes()), "\n"),
		strings.Repeat("o", MaxCheckpointText) + string(text.Bytes()), "\n7\n" + tree.Hash.String() + "\n",
	} {
		if got, err := ParseCheckpointText([]byte(bad)); err == nil {
			t.Errorf("%q was taken for the text of a checkpoint: %q", bad, got.Bytes())
		}
	}
	if _, err := NewCheckpointText("two\nlines", tree); err == nil {
		t.Error("an origin of two lines was taken")
	}
	if b := (CheckpointText{}).Bytes(); b != nil {
		t.Errorf("the zero value has the text %q", b)
	}
}
