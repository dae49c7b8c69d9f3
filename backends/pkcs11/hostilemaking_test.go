package pkcs11_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// recordTrick, with a path behind it, is the trick of a child that does as it is told
// and writes all that it is sent to a file.
const recordTrick = "records "

// fakeHostileMaking is what a hostile child answers when a key is to be made. It
// returns nil for what it does not answer.
func fakeHostileMaking(trick string, f proto.Frame) []byte {
	if path, ok := strings.CutPrefix(trick, recordTrick); ok {
		out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil
		}
		_, _ = out.Write(append(f.Body, '\n'))
		_ = out.Close()
	}
	// 2048 bits, odd.
	modulus := bytes.Repeat([]byte{0xA5}, 256)
	encode := func(v any) []byte { body, _ := proto.Encode(v); return body }
	good := map[string]bool{"CKA_SENSITIVE": true, "CKA_EXTRACTABLE": false}
	switch f.Op {
	case proto.OpSurvey:
		ways := []proto.Way{proto.WayKWP}
		if trick == "unknown way" {
			ways = []proto.Way{"CKM_ROT13"}
		}
		return encode(proto.Surveyed{Generates: true, OAEP: true, Ways: ways})
	case proto.OpWrapping:
		if trick == "small wrapping key" {
			modulus = modulus[:64]
		}
		w := proto.Wrapping{Modulus: modulus, Exponent: []byte{1, 0, 1}}
		if trick == "wrapping key that encrypts nothing" {
			w.Exponent = []byte{1}
		}
		return encode(w)
	case proto.OpUnwrapKEK, proto.OpSettle:
		return []byte("null")
	case proto.OpUnwrapKey:
		var q proto.UnwrapKey
		_ = proto.Decode(f.Body, &q)
		if trick == "another key" {
			q.Modulus = modulus
		}
		return encode(proto.Made{Modulus: q.Modulus, Exponent: q.Exponent, Attributes: good})
	case proto.OpGenerate:
		made := proto.Made{Modulus: modulus, Exponent: []byte{1, 0, 1}, Attributes: good}
		switch trick {
		case "says nothing of the key":
			made.Attributes = nil
		case "no modulus":
			made.Modulus = nil
		case "huge exponent":
			made.Exponent = modulus
		case "bad JSON of a key":
			return []byte("{")
		}
		return encode(made)
	case proto.OpCheckpoint:
		return make([]byte, 63)
	case proto.OpLogKey:
		return make([]byte, 33)
	}
	return nil
}

func (r *rig) fakeMaker() *pkcs11.Maker {
	return r.Maker(&uri.URI{Token: uri.Token{Label: "fake"}, Object: "acme", ModulePath: "/fake/module.so"}, 0)
}

func TestHostileChildTakesAKey(t *testing.T) {
	private, _ := outsideKey(t)
	for trick, want := range map[string]struct {
		kind error
		text string
	}{
		"unknown way":                        {signer.ErrUnavailable, "unknown way"},
		"small wrapping key":                 {signer.ErrKeyUnusable, "RSA key of 512 bits, want 2048"},
		"wrapping key that encrypts nothing": {signer.ErrKeyUnusable, "exponent"},
		"another key":                        {signer.ErrKeyUnusable, "unwrapped another key than was sent"},
		"":                                   {signer.ErrKeyUnusable, "RSA key of 1 bits"}, // shown under its name
	} {
		t.Run(trick, func(t *testing.T) {
			_, err := hostile(t, trick).fakeMaker().Import(t.Context(), private)
			wantError(t, err, want.kind, want.text)
		})
	}
}

func TestHostileChildMakesAKey(t *testing.T) {
	for trick, want := range map[string]struct {
		kind error
		text string
	}{
		"says nothing of the key": {signer.ErrKeyUnusable, "CKA_SENSITIVE cannot be read, CKA_EXTRACTABLE cannot be read"},
		"no modulus":              {signer.ErrKeyUnusable, "RSA key of 0 bits"},
		"huge exponent":           {signer.ErrKeyUnusable, "too long"},
		"bad JSON of a key":       {signer.ErrUnavailable, "broke the protocol"},
		"":                        {signer.ErrKeyUnusable, "RSA key of 1 bits"},
	} {
		t.Run(trick, func(t *testing.T) {
			made, err := hostile(t, trick).fakeMaker().Create(t.Context())
			wantError(t, err, want.kind, want.text)
			if made != "" {
				t.Errorf("the URI %s beside an error", made)
			}
		})
	}
}

func TestHostileChildHasTheLogKey(t *testing.T) {
	key := func() *pkcs11.LogKey { return hostile(t, "").logKey(pkcs11.KeyOptions{Object: "log"}) }
	_, err := key().SignCheckpoint(t.Context(), emptyLog(t))
	wantError(t, err, signer.ErrUnavailable, "found 63 bytes of signature, want 64")
	_, err = key().PublicKey(t.Context())
	wantError(t, err, signer.ErrUnavailable, "the public key is not 32 bytes long")
}

// TestPrivateKeyDoesNotReachTheChild reads all that the child is sent in an import.
func TestPrivateKeyDoesNotReachTheChild(t *testing.T) {
	private, _ := outsideKey(t)
	path := filepath.Join(t.TempDir(), "recorded")
	_, err := hostile(t, recordTrick+path).fakeMaker().Import(t.Context(), private)
	wantError(t, err, signer.ErrKeyUnusable, "RSA key of 1 bits") // at the very end
	recorded, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var sent [][]byte
	for line := range bytes.Lines(recorded) {
		var message map[string]any
		if json.Unmarshal(line, &message) != nil {
			continue
		}
		for _, value := range message {
			if text, ok := value.(string); ok {
				raw, _ := base64.StdEncoding.DecodeString(text)
				sent = append(sent, []byte(text), raw)
			}
		}
	}
	contains := func(number *big.Int) bool {
		part := number.Bytes()[40:72]
		for _, s := range sent {
			if bytes.Contains(s, part) {
				return true
			}
		}
		return false
	}
	// The public modulus shows that this would find what is there.
	if !contains(private.N) {
		t.Error("the modulus was not sent, so this test sees nothing")
	}
	for name, number := range map[string]*big.Int{
		"d": private.D, "p": private.Primes[0], "q": private.Primes[1],
		"dP": private.Precomputed.Dp, "dQ": private.Precomputed.Dq, "qInv": private.Precomputed.Qinv,
	} {
		if contains(number) {
			t.Errorf("%s of the private key was sent to the child in the clear", name)
		}
	}
}
