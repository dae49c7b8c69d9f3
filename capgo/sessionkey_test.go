package capgo_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestWrappedKeyRoundTrip(t *testing.T) {
	want := capgo.WrappedKey{IV: capgo.IV(pattern(16)), Wrapped: capgo.Signature(pattern(256))}
	text := want.String()
	iv, wrapped, _ := strings.Cut(text, ":")
	if iv != base64.StdEncoding.EncodeToString(want.IV[:]) || wrapped != base64.StdEncoding.EncodeToString(want.Wrapped[:]) {
		t.Errorf("written as %q, want base64(iv):base64(wrapped)", text)
	}
	got, err := capgo.ParseWrappedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Error("came back as another wrapped key")
	}
}

func TestParseWrappedKeyRefuses(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(pattern(n)) }
	iv, wrapped := b64(16), b64(256)
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", "found no colon"},
		{"no colon", iv + wrapped, "found no colon"},
		{"two colons", iv + ":" + wrapped + ":", "after the colon is not base64"},
		{"no IV", ":" + wrapped, "found an IV of 0 bytes, want 16"},
		{"no wrapped key", iv + ":", "the wrapped key has 0 bytes, want 256"},
		{"an IV of 15 bytes", b64(15) + ":" + wrapped, "found an IV of 15 bytes"},
		{"an IV of 17 bytes", b64(17) + ":" + wrapped, "found an IV of 17 bytes"},
		{"a wrapped key of 255 bytes", iv + ":" + b64(255), "the wrapped key has 255 bytes"},
		{"a wrapped key of 384 bytes", iv + ":" + b64(384), "the wrapped key has 384 bytes"},
		{"an IV in URL base64", strings.Repeat("_", 22) + "==:" + wrapped, "before the colon is not base64"},
		{"an IV with stray bits", iv[:21] + "x==:" + wrapped, "before the colon is not base64"},
		{"an IV without padding", iv[:22] + ":" + wrapped, "before the colon is not base64"},
		{"a wrapped key in hex", iv + ":" + hex.EncodeToString(pattern(256)), "the wrapped key has 384 bytes"},
		{"a line break at the end", iv + ":" + wrapped + "\n", "line break"},
		{"a line break within", iv + ":" + wrapped[:76] + "\r\n" + wrapped[76:], "line break"},
		{"a space", iv + ": " + wrapped, "after the colon is not base64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := capgo.ParseWrappedKey(test.in)
			wantError(t, err, test.want)
			wantError(t, err, "session key: ")
		})
	}
}

func TestUnwrapRefuses(t *testing.T) {
	key := ownKey()
	for _, n := range []int{0, 4, 15, 17, 24, 32, 48, 51} {
		_, err := key.public.Unwrap(capgo.WrappedKey{Wrapped: key.bytes(t, pattern(n))})
		wantError(t, err, fmt.Sprintf("found %d bytes inside, want 16", n))
	}
	wrapped, _ := key.wrap(t)
	_, err := otherKey().public.Unwrap(wrapped)
	wantError(t, err, "session key: ")
	wrapped.Wrapped[200] ^= 4
	_, err = key.public.Unwrap(wrapped)
	wantError(t, err, "session key: ")
}

// A session key must not come out of any of the ways in which values end up in
// a log or an error by accident.
func TestSessionKeyNeverPrints(t *testing.T) {
	raw := [16]byte([]byte("SECRETsecret\x01\xfe7Z"))
	key := ownKey().knownKey(t, raw)
	type holder struct {
		Exported capgo.SessionKey
		pointer  *capgo.SessionKey
		value    capgo.SessionKey
	}
	held := holder{*key, key, *key}

	var out strings.Builder
	for _, v := range []any{key, *key, &key, held, &held, []any{key}, []capgo.SessionKey{*key}, map[string]any{"k": *key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%p", "%T", "%z"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "k", v)
		for _, enc := range []zapcore.Encoder{
			zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
			zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
		} {
			zap.New(zapcore.NewCore(enc, zapcore.AddSync(&out), zap.DebugLevel)).Info("x", zap.Any("k", v), zap.Reflect("r", v))
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%o", "%t", "%z"} {
		if got := fmt.Sprintf(verb, key) + fmt.Sprintf(verb, *key); got != "[session key][session key]" {
			t.Errorf("with %s it prints as %s", verb, got)
		}
	}
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %v: %w", key, errors.New("x")))

	printed := strings.ToLower(out.String())
	if !strings.Contains(printed, "[session key]") {
		t.Fatal("nothing was printed; this test shows nothing")
	}
	for _, form := range []string{
		string(raw[:]), hex.EncodeToString(raw[:]), base64.StdEncoding.EncodeToString(raw[:]),
		"secret",                  // as text
		"83 69 67 82", "83,69,67", // as numbers: S E C R
		"0x53, 0x45, 0x43", "534543", "53 45 43", // in hexadecimal
		"123 105 103", "u+0053",
		"1010011 1000101", "s e c r",
	} {
		if i := strings.Index(printed, strings.ToLower(form)); i >= 0 {
			t.Errorf("the key got out as %q: …%s…", form, printed[max(0, i-40):min(len(printed), i+60)])
		}
	}
	_ = held.pointer
	_ = held.value
}

func TestForgottenKeyDoesNothing(t *testing.T) {
	wrapped, key := ownKey().wrap(t)
	second := *key
	key.Forget()
	key.Forget() // as often as one likes
	var zero capgo.SessionKey
	zero.Forget()
	for name, k := range map[string]*capgo.SessionKey{"forgotten": key, "copy of a forgotten": &second, "zero": &zero, "nil": nil} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := capgo.Encrypt(&out, strings.NewReader("bundle"), k, wrapped.IV)
			wantError(t, err, "the session key is empty")
			_, err = capgo.Decrypt(io.Discard, bytes.NewReader(make([]byte, 32)), k, wrapped.IV)
			wantError(t, err, "the session key is empty")
			if out.Len() != 0 {
				t.Errorf("%d bytes were written", out.Len())
			}
		})
	}
}

func TestNewIVIsDrawn(t *testing.T) {
	a, b := capgo.NewIV(), capgo.NewIV()
	if a == b || a == (capgo.IV{}) {
		t.Errorf("drew %x and %x", a, b)
	}
}
