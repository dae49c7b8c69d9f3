package proto_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

func checkpointText(t testing.TB) audit.CheckpointText {
	t.Helper()
	text, err := audit.NewCheckpointText("log.example", tlog.Tree{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCheckpoint(t *testing.T) {
	want := proto.Checkpoint{Key: proto.Selector{Label: "log", ID: "\x00\xff"}, Text: checkpointText(t)}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := proto.DecodeCheckpoint(b)
	if err != nil {
		t.Fatal(err)
	}
	if *got != want {
		t.Errorf("read back %+v, want %+v", got, want)
	}
	for cut := range b {
		if _, err := proto.DecodeCheckpoint(b[:cut]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", cut, len(b))
		}
	}
}

func TestCheckpointRefuses(t *testing.T) {
	text := checkpointText(t)
	for name, c := range map[string]proto.Checkpoint{
		"no text":       {Key: proto.Selector{Label: "log"}},
		"a long label":  {Key: proto.Selector{Label: strings.Repeat("a", 256)}, Text: text},
		"a long key id": {Key: proto.Selector{ID: strings.Repeat("a", 256)}, Text: text},
	} {
		if b, err := c.Encode(); err == nil || b != nil {
			t.Errorf("%s: encoded as %x, error %v", name, b, err)
		}
	}
	// Whatever is no checkpoint is not signed: a payload, a document, nothing.
	for _, text := range []string{"", "hello\n", "log.example\n7\nAAAA\n", strings.Repeat("a", 2000), string(bytes.Repeat([]byte{0}, 33))} {
		if _, err := proto.DecodeCheckpoint(append([]byte("\x03log\x00"), text...)); err == nil {
			t.Errorf("the text %q was accepted", text)
		}
	}
}

func TestDecodeCheckpointSigned(t *testing.T) {
	for _, n := range []int{0, 63, 65, 256} {
		if got, err := proto.DecodeCheckpointSigned(make([]byte, n)); err == nil || got != nil {
			t.Errorf("a signature of %d bytes was accepted", n)
		}
	}
	if _, err := proto.DecodeCheckpointSigned(make([]byte, 64)); err != nil {
		t.Error(err)
	}
}

// FuzzDecodeCheckpoint looks for an order that is not for the text of a checkpoint.
func FuzzDecodeCheckpoint(f *testing.F) {
	b, err := proto.Checkpoint{Key: proto.Selector{Label: "log", ID: "1"}, Text: checkpointText(f)}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := proto.DecodeCheckpoint(b)
		if err != nil {
			return
		}
		if _, err := audit.ParseCheckpointText(c.Text.Bytes()); err != nil {
			t.Fatalf("%q is to be signed: %v", c.Text.Bytes(), err)
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x was read and written as %x, error %v", b, again, err)
		}
	})
}
