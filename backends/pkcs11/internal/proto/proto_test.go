package proto_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

func checksum(t testing.TB, text string, format capgo.ChecksumFormat) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), format)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFrames(t *testing.T) {
	frames := []proto.Frame{
		{ID: 1, Op: proto.OpPing},
		{ID: 1<<64 - 1, Op: proto.OpSign, Body: []byte("body")},
		{ID: 3, Op: proto.OpResult, Body: bytes.Repeat([]byte{7}, proto.MaxFrame)},
	}
	var wire []byte
	for _, f := range frames {
		var err error
		if wire, err = f.Append(wire); err != nil {
			t.Fatal(err)
		}
	}
	r := proto.NewReader(bytes.NewReader(wire))
	for _, want := range frames {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last frame: %v, want io.EOF", err)
	}
}

func TestFrameTooLarge(t *testing.T) {
	if _, err := (proto.Frame{Body: make([]byte, proto.MaxFrame+1)}).Append(nil); err == nil {
		t.Error("an oversized frame was encoded")
	}
	header := binary.BigEndian.AppendUint32(nil, proto.MaxFrame+1)
	header = append(header, make([]byte, 9)...)
	// The reader would block for the body if it believed the length.
	_, err := proto.NewReader(io.MultiReader(bytes.NewReader(header), neverReader{})).Next()
	if err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("error %v, want the length refused", err)
	}
}

type neverReader struct{}

func (neverReader) Read([]byte) (int, error) { panic("the body of a refused frame was read") }

func TestFrameCutShort(t *testing.T) {
	wire, err := proto.Frame{ID: 1, Op: proto.OpSign, Body: []byte("body")}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(wire); n++ {
		_, err := proto.NewReader(bytes.NewReader(wire[:n])).Next()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: error %v, want io.ErrUnexpectedEOF", n, len(wire), err)
		}
	}
}

func TestSign(t *testing.T) {
	for _, want := range []proto.Sign{
		{Key: proto.Selector{Label: "acme"}, Payloads: []capgo.Payload{capgo.SessionKeyPayload()}},
		{Key: proto.Selector{ID: "\x00\xff"}, Payloads: []capgo.Payload{
			checksum(t, "a", capgo.FormatHex), checksum(t, "b", capgo.FormatLegacy), capgo.SessionKeyPayload(), capgo.SessionKeyPayload(),
		}},
		{Key: proto.Selector{Label: strings.Repeat("l", 255), ID: strings.Repeat("i", 255)}, Payloads: []capgo.Payload{checksum(t, "a", capgo.FormatHex)}},
	} {
		wire, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := proto.DecodeSign(wire)
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != want.Key || fmt.Sprint(got.Payloads) != fmt.Sprint(want.Payloads) {
			t.Errorf("read back %v, want %v", got, want)
		}
		for n := range wire {
			if got, err := proto.DecodeSign(wire[:n]); err == nil && len(got.Payloads) >= len(want.Payloads) {
				t.Errorf("%d of %d bytes were read as %v", n, len(wire), got)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	good := checksum(t, "a", capgo.FormatHex)
	for name, s := range map[string]proto.Sign{
		"no payload":       {},
		"zero payload":     {Payloads: []capgo.Payload{{}}},
		"one too many":     {Payloads: slices.Repeat([]capgo.Payload{good}, proto.MaxBatch+1)},
		"label of 256":     {Key: proto.Selector{Label: strings.Repeat("l", 256)}, Payloads: []capgo.Payload{good}},
		"id of 256":        {Key: proto.Selector{ID: strings.Repeat("i", 256)}, Payloads: []capgo.Payload{good}},
		"zero among good":  {Payloads: []capgo.Payload{good, {}}},
		"zero in the rear": {Payloads: []capgo.Payload{good, good, good, {}}},
	} {
		if b, err := s.Encode(); err == nil {
			t.Errorf("%s: encoded as %x", name, b)
		}
	}
	// A session key with bytes in it is how a caller's bytes would get to a key.
	chosen := append([]byte{0, 0, byte(capgo.KindSession)}, bytes.Repeat([]byte{1}, 32)...)
	if s, err := proto.DecodeSign(chosen); err == nil {
		t.Errorf("a session key of the caller's choice was read as %v", s)
	}
	unknown := append([]byte{0, 0, 'X'}, make([]byte, 32)...)
	if s, err := proto.DecodeSign(unknown); err == nil {
		t.Errorf("an unknown kind was read as %v", s)
	}
}

func TestDecodeSigned(t *testing.T) {
	b := append(bytes.Repeat([]byte{1}, 256), bytes.Repeat([]byte{2}, 256)...)
	got, err := proto.DecodeSigned(b, 2)
	if err != nil || got[0][255] != 1 || got[1][0] != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, n := range []int{0, 1, 3} {
		if _, err := proto.DecodeSigned(b, n); err == nil {
			t.Errorf("512 bytes were taken for %d signatures", n)
		}
	}
	if _, err := proto.DecodeSigned(b[:511], 2); err == nil {
		t.Error("511 bytes were taken for 2 signatures")
	}
}

func TestDecodeIsStrictAndDiscreet(t *testing.T) {
	for _, body := range []string{``, `{`, `{"pin":"czNjcjN0"} {}`, `{"pin":"czNjcjN0","x":1}`, `{"pin":"s3cr3t!"}`, `[]`, `{"pin":5}`} {
		err := proto.Decode([]byte(body), new(proto.Login))
		if err == nil {
			t.Errorf("accepted %s", body)
		} else if strings.Contains(err.Error(), "czN") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error quotes the body: %v", err)
		}
	}
}

// gatedWriter (a fake of a slow socket) lets the test see what goes out together.
type gatedWriter struct {
	began  chan int // size of a write that has begun
	finish chan error
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	w.began <- len(p)
	return len(p), <-w.finish
}

func TestWriterGathersFrames(t *testing.T) {
	slow := &gatedWriter{make(chan int), make(chan error)}
	w := proto.NewWriter(slow)
	var first sync.WaitGroup
	first.Go(func() {
		if err := w.Write(proto.Frame{Op: proto.OpPing}); err != nil {
			t.Error(err)
		}
	})
	one := <-slow.began
	for range 5 {
		if err := w.Write(proto.Frame{Op: proto.OpPing}); err != nil {
			t.Fatal(err)
		}
	}
	slow.finish <- nil
	if got := <-slow.began; got != 5*one {
		t.Errorf("the second write has %d bytes, want the 5 frames that waited (%d)", got, 5*one)
	}
	slow.finish <- nil
	first.Wait()
}

func TestWriterStopsAfterAnError(t *testing.T) {
	slow := &gatedWriter{make(chan int, 1), make(chan error, 1)}
	w := proto.NewWriter(slow)
	broken := errors.New("broken")
	slow.finish <- broken
	if err := w.Write(proto.Frame{Op: proto.OpPing}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the writer's", err)
	}
	// A second write would block for ever in the fake.
	if err := w.Write(proto.Frame{Op: proto.OpPing}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the first one again", err)
	}
}

func FuzzDecodeSign(f *testing.F) {
	wire, err := proto.Sign{Key: proto.Selector{Label: "l", ID: "i"}, Payloads: []capgo.Payload{capgo.SessionKeyPayload()}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := proto.DecodeSign(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x was read as an order whose form is %x, %v", b, again, err)
		}
		for _, p := range s.Payloads {
			m, err := p.Material(nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(m); n != 16 && n != 32 && n != 48 {
				t.Fatalf("an order to sign %d bytes", n)
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	wire, err := proto.Frame{ID: 1, Op: proto.OpFault, Body: []byte(`{"kind":"call"}`)}.Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := proto.NewReader(bytes.NewReader(b))
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			var fault proto.Fault
			if proto.Decode(frame.Body, &fault) == nil {
				_ = fault.Error()
			}
		}
	})
}
