package child

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

func returned(code ckr.Code) error {
	return &proto.Fault{Kind: proto.KindCall, Call: "C_GenerateKeyPair", Code: code}
}

// TestFit has tokens that do not take some attributes, and refuse a template that
// has one of them in their own ways.
func TestFit(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for _, test := range []struct {
		name    string
		code    ckr.Code
		refuses []string
		want    []string
		err     bool
		most    int // calls
	}{
		{"takes all", 0x12, nil, nil, false, 1},
		{"refuses the first", 0x12, []string{"a"}, []string{"a"}, false, 2},
		{"refuses the last", 0xD1, []string{"d"}, []string{"d"}, false, 5},
		{"refuses the last two", 0x13, []string{"c", "d"}, []string{"c", "d"}, false, 6},
		{"refuses two", 0x10, []string{"b", "d"}, []string{"b", "c", "d"}, false, 7},
		{"refuses all", 0xD0, names, names, false, 8},
		{"refuses what is needed", 0x12, []string{"needed"}, nil, true, 8},
		{"does not say what it refuses", 0x05, []string{"c"}, names, false, 2},
		{"does not say what it refuses of the needed", 0x06, []string{"needed"}, nil, true, 2},
		{"fails otherwise", 0x30, []string{"a"}, nil, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls := 0
			got, err := fit(names, func(without []string) error {
				calls++
				for _, name := range test.refuses {
					if !slices.Contains(without, name) {
						return returned(test.code)
					}
				}
				return nil
			})
			if code, _ := codeOf(err); test.err != (err != nil) || test.err && code != test.code {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("left out, -want +got:\n%s", diff)
			}
			if calls > test.most {
				t.Errorf("%d attempts, want at most %d", calls, test.most)
			}
		})
	}
	other := errors.New("no return value")
	if _, err := fit(names, func([]string) error { return other }); err != other {
		t.Errorf("error %v, want %v", err, other)
	}
}

// TestSigningKeyIsNeverLoose leaves out of the template all that may be left out.
func TestSigningKeyIsNeverLoose(t *testing.T) {
	private := signingKey(true, []byte("label"), []byte("id"))
	for _, without := range [][]string{nil, names(private)} {
		got := map[uint][]byte{}
		for _, a := range private.without(without) {
			got[a.Type] = a.Value
		}
		for name, want := range map[uint]byte{
			pkcs11.CKA_TOKEN: 1, pkcs11.CKA_PRIVATE: 1, pkcs11.CKA_SENSITIVE: 1, pkcs11.CKA_EXTRACTABLE: 0, pkcs11.CKA_SIGN: 1,
		} {
			if value := got[name]; len(value) != 1 || value[0] != want {
				t.Errorf("without %v, attribute 0x%x is %x, want %d", without, name, value, want)
			}
		}
	}
}

func TestEdwardsPoint(t *testing.T) {
	raw := make([]byte, 32)
	raw[0], raw[1] = 0x04, 0x20 // a point may well begin like an OCTET STRING
	wrapped := append([]byte{0x04, 0x20}, raw...)
	for _, in := range [][]byte{raw, wrapped} {
		got, err := edwardsPoint(in)
		if err != nil || !slices.Equal(got, raw) {
			t.Errorf("%x: %x, error %v", in, got, err)
		}
	}
	for _, in := range [][]byte{nil, raw[:31], wrapped[:33], append(wrapped, 0), append([]byte{0x03, 0x20}, raw...), append([]byte{0x04, 0x39}, make([]byte, 57)...)} {
		if got, err := edwardsPoint(in); err == nil {
			t.Errorf("%x was read as %x", in, got)
		}
	}
}
