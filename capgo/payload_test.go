package capgo_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/cryptotest"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestChecksumMaterial(t *testing.T) {
	digest := capgo.Digest(sha256.Sum256([]byte("abc")))
	legacy, err := base64.StdEncoding.DecodeString(abcHex)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		format capgo.ChecksumFormat
		kind   capgo.PayloadKind
		want   []byte
	}{
		{capgo.FormatHex, capgo.KindChecksum, digest[:]},
		{capgo.FormatLegacy, capgo.KindLegacy, legacy},
	} {
		t.Run(string(test.format), func(t *testing.T) {
			p := checksum(t, digest, test.format)
			if p.Kind() != test.kind {
				t.Errorf("kind %s, want %s", p.Kind(), test.kind)
			}
			// Entropy is for session keys only: it must not change a checksum.
			for _, entropy := range [][]byte{nil, pattern(32)} {
				got, err := p.Material(entropy)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, test.want) {
					t.Errorf("material with %d bytes of entropy is %x, want %x", len(entropy), got, test.want)
				}
			}
		})
	}
	if len(legacy) != 48 {
		t.Errorf("the legacy form has %d bytes, want 48", len(legacy))
	}
}

// The caller clears what Material gave it; the payload must survive that.
func TestMaterialIsACopy(t *testing.T) {
	p := checksum(t, capgo.Digest{1, 2, 3}, capgo.FormatHex)
	first, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(first)
	second, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := (capgo.Digest{1, 2, 3}); !bytes.Equal(second, want[:]) {
		t.Errorf("after clearing the first material the second is %x", second)
	}
}

func TestSessionMaterialIsDrawnAnew(t *testing.T) {
	p := capgo.SessionKeyPayload()
	if p.Kind() != capgo.KindSession {
		t.Fatalf("kind %s, want %s", p.Kind(), capgo.KindSession)
	}
	seen := make(map[string]bool)
	// The same entropy each time: a backend's generator that is stuck, or an
	// attacker's, must not be able to make a key come back.
	for range 1000 {
		key, err := p.Material(make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		if len(key) != 16 {
			t.Fatalf("a session key of %d bytes, want 16", len(key))
		}
		if seen[string(key)] {
			t.Fatal("the same session key was drawn twice")
		}
		seen[string(key)] = true
	}
}

// The other half: with a system generator that is stuck, the backend's counts.
func TestSessionMaterialUsesEntropy(t *testing.T) {
	draw := func(entropy []byte) string {
		cryptotest.SetGlobalRandom(t, 1)
		key, err := capgo.SessionKeyPayload().Material(entropy)
		if err != nil {
			t.Fatal(err)
		}
		return string(key)
	}
	if first, again := draw(nil), draw(nil); first != again {
		t.Fatal("the system's generator was not held still; this test shows nothing")
	}
	if draw([]byte{1}) == draw([]byte{2}) || draw(nil) == draw([]byte{0}) {
		t.Error("different entropy gave the same session key")
	}
}

func TestPayloadBinary(t *testing.T) {
	digest := capgo.Digest(pattern(32))
	for _, test := range []struct {
		p    capgo.Payload
		want []byte
	}{
		{checksum(t, digest, capgo.FormatHex), append([]byte{'C'}, digest[:]...)},
		{checksum(t, digest, capgo.FormatLegacy), append([]byte{'L'}, digest[:]...)},
		{checksum(t, capgo.Digest{}, capgo.FormatHex), append([]byte{'C'}, make([]byte, 32)...)},
		{capgo.SessionKeyPayload(), append([]byte{'S'}, make([]byte, 32)...)},
	} {
		t.Run(test.p.Kind().String(), func(t *testing.T) {
			b, err := test.p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, test.want) {
				t.Errorf("binary form %x, want %x", b, test.want)
			}
			var back capgo.Payload
			if err := back.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			if back != test.p {
				t.Errorf("came back as %v, want %v", back, test.p)
			}
		})
	}
}

func TestPayloadBinaryRefuses(t *testing.T) {
	form := func(kind byte, digest capgo.Digest) []byte { return append([]byte{kind}, digest[:]...) }
	for _, test := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "found 0 bytes, want 33"},
		{"a byte too few", form('C', capgo.Digest{})[:32], "found 32 bytes"},
		{"a byte too many", append(form('C', capgo.Digest{}), 0), "found 34 bytes"},
		{"a DigestInfo's 51 bytes", make([]byte, 52), "found 52 bytes"},
		{"the zero payload", make([]byte, 33), "found kind 0"},
		{"an unknown kind", form('X', capgo.Digest{}), "found kind 88"},
		{"a lower-case kind", form('c', capgo.Digest{}), "found kind 99"},
		{"a session key of the caller's", form('S', capgo.Digest{15: 1}), "carries no bytes of the caller's"},
		{"a session key with a last byte", form('S', capgo.Digest{31: 1}), "carries no bytes of the caller's"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := checksum(t, capgo.Digest{7}, capgo.FormatHex)
			before := p
			wantError(t, p.UnmarshalBinary(test.in), test.want)
			if p != before {
				t.Error("a refused form changed the payload")
			}
		})
	}
}

func TestZeroPayloadIsUseless(t *testing.T) {
	var p capgo.Payload
	if _, err := p.Material(nil); err == nil {
		t.Error("the zero payload gave material to sign")
	}
	if _, err := p.MarshalBinary(); err == nil {
		t.Error("the zero payload has a binary form")
	}
	if err := ownKey().public.Verify(p, ownKey().bytes(t, make([]byte, 32))); err == nil {
		t.Error("a signature of the zero payload verified")
	}
	if _, err := capgo.ChecksumPayload(capgo.Digest{}, "sha256"); err == nil {
		t.Error("an unknown checksum format made a payload")
	}
	if _, err := capgo.ChecksumPayload(capgo.Digest{}, ""); err == nil {
		t.Error("an empty checksum format made a payload")
	}
}

// From outside, a payload is opaque: no field can be set, by hand, by reflection
// that keeps the rules, or by a decoder other than UnmarshalBinary.
func TestPayloadIsOpaque(t *testing.T) {
	typ := reflect.TypeFor[capgo.Payload]()
	for f := range typ.Fields() {
		if f.IsExported() {
			t.Errorf("field %s is exported: anybody can choose what a key signs", f.Name)
		}
	}
	var p capgo.Payload
	in := fmt.Sprintf(`{"kind":83,"Kind":83,"digest":%q,"Digest":%q}`, abcHex, abcHex)
	decode := func(into any) error { return json.Unmarshal([]byte(in), into) }
	if err := decode(&p); err == nil && p != (capgo.Payload{}) {
		t.Errorf("JSON made the payload %v", p)
	}
}

func TestPayloadKindString(t *testing.T) {
	for kind, want := range map[capgo.PayloadKind]string{
		capgo.KindChecksum: "checksum",
		capgo.KindLegacy:   "legacy checksum",
		capgo.KindSession:  "session key",
		0:                  "invalid kind 0",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d prints as %q, want %q", byte(kind), got, want)
		}
	}
}
