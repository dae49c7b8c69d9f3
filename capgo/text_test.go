package capgo_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
)

// record is how these types stand in stored JSON.
type record struct {
	Digest    capgo.Digest
	Signature capgo.Signature
	Session   capgo.WrappedKey
}

func TestTextRoundTrip(t *testing.T) {
	want := record{
		Digest:    capgo.Digest(pattern(32)),
		Signature: capgo.Signature(pattern(256)),
		Session:   capgo.WrappedKey{IV: capgo.IV(pattern(16)), Wrapped: capgo.Signature(pattern(256))},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{want.Digest.String(), want.Signature.Checksum(capgo.FormatLegacy), want.Session.String()} {
		if !strings.Contains(string(b), text) {
			t.Errorf("%s is not in %s", text, b)
		}
	}
	var got record
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("came back as (-want +got):\n%s", diff)
	}
}

func TestTextRefuses(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"a short digest", `{"Digest":"abcd"}`, "found 4 characters"},
		{"a digest that is a number", `{"Digest":7}`, "number"},
		{"a signature in hex", `{"Signature":"` + vectorSignature + `"}`, "found a signature of 384 bytes"},
		{"a signature that is not base64", `{"Signature":"*"}`, "not base64"},
		{"a session key without IV", `{"Session":":"}`, "found an IV of 0 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got record
			wantError(t, json.Unmarshal([]byte(test.in), &got), test.want)
			if got != (record{}) {
				t.Error("a refused text changed the value")
			}
		})
	}
}
