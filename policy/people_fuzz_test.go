package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/bundlesign/bundlesign/policy/policytest"
)

// fixed returns somebody whose key is always the same, so that what the fuzzer has
// found before stays of use.
func fixed(t testing.TB, name string, kind policytest.Kind) *policytest.Person {
	seed := bytes.Repeat([]byte(name[:1]), ed25519.SeedSize)
	return policytest.NewPersonWithKey(t, name, kind, ed25519.NewKeyFromSeed(seed))
}

// What is taken can be written again and means the same; what is refused says
// where, in few words.
func FuzzAllowedSigners(f *testing.F) {
	alice, bob := fixed(f, "alice", policytest.Ed25519), fixed(f, "bob", policytest.SKEd25519)
	bob.Options = `namespaces="bundlesign-*@v1,!*thaw*",valid-after="20260101Z",valid-before="202701011200Z"`
	both := string(policytest.AllowedSigners(alice, bob))
	for _, file := range []string{
		both, strings.ReplaceAll(both, "\n", "\r\n"), both + both, "# comment\n\n\t" + both + "carol",
		strings.Replace(both, "alice", "alice,bob", 1), strings.Replace(both, "alice", "*", 1),
		strings.Replace(both, "bob", "bob cert-authority", 1), strings.Replace(both, "thaw", `\"`, 1),
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, faults := parseAllowedSigners(file)
		lines := strings.Split(string(file), "\n")
		for _, err := range faults {
			var fault *FieldError
			if !errors.As(err, &fault) || fault.Line < 1 || fault.Line > len(lines) || fault.Column < 1 || fault.Column > len(lines[fault.Line-1])+1 {
				t.Fatalf("a fault at no place: %#v", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		}
		var again strings.Builder
		for _, k := range keys {
			again.WriteString(k.marshal())
		}
		reread, faults := parseAllowedSigners([]byte(again.String()))
		if len(faults) > 0 || len(reread) != len(keys) {
			t.Fatalf("%q is %q, which has %d keys of %d: %v", file, again.String(), len(reread), len(keys), faults)
		}
		owner := make(map[string]string)
		for i, k := range keys {
			if reread[i].marshal() != k.marshal() {
				t.Errorf("%q became %q", k.marshal(), reread[i].marshal())
			}
			secret := sameSecret(k.key)
			if owner[secret] != "" {
				t.Errorf("a key of %s and %s", owner[secret], k.person)
			}
			owner[secret] = k.person
			if checkPersonName(k.person) != nil {
				t.Errorf("a person called %q", k.person)
			}
		}
	})
}

func (k *allowedKey) marshal() string {
	options := []string{`namespaces="` + strings.ReplaceAll(k.namespaces.String(), `"`, `\"`) + `"`}
	if k.namespaces == nil {
		options = nil
	}
	const layout = "20060102150405Z"
	if !k.validAfter.IsZero() {
		options = append(options, fmt.Sprintf("valid-after=%q", k.validAfter.Format(layout)))
	}
	if !k.validBefore.IsZero() {
		options = append(options, fmt.Sprintf("valid-before=%q", k.validBefore.Format(layout)))
	}
	return strings.TrimSpace(k.person+" "+strings.Join(options, ",")) + " " + string(ssh.MarshalAuthorizedKey(k.key))
}

// A key is taken in one encoding only, and is not weak.
func FuzzSSHKey(f *testing.F) {
	for _, kind := range []policytest.Kind{policytest.Ed25519, policytest.SKEd25519} {
		f.Add(fixed(f, "alice", kind).PublicKey().Marshal())
	}
	for _, kind := range []policytest.Kind{policytest.ECDSA256, policytest.ECDSA384, policytest.ECDSA521, policytest.RSA, policytest.SKECDSA} {
		f.Add(policytest.NewPerson(f, "alice", kind).PublicKey().Marshal())
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		key, err := parseKey(wire)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if !bytes.Equal(key.Marshal(), wire) {
			t.Errorf("%x became %x", wire, key.Marshal())
		}
		if public, ok := cryptoKey(key).(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
			t.Errorf("an RSA key of %d bits", public.N.BitLen())
		}
		if signatureFormats(key.Type()) == nil || slices.Contains(signatureFormats(key.Type()), "ssh-rsa") {
			t.Errorf("a key of type %s with signatures of %v", key.Type(), signatureFormats(key.Type()))
		}
	})
}

// What is taken encodes to a form of its own, which is taken, too. And there is one
// signature only that an Ed25519 key makes over a statement: nothing that can be
// made of it without the key is another.
func FuzzSSHSIG(f *testing.F) {
	const statement = "bundlesign statement\n"
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice, bob := fixed(f, "alice", policytest.Ed25519), fixed(f, "bob", policytest.SKEd25519)
	people, err := NewPeople(policytest.AllowedSigners(alice, bob), nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	good := map[string]bool{}
	for _, who := range []*policytest.Person{alice, bob} {
		for _, who.Hash = range []string{"sha256", "sha512"} {
			blob := who.SignBlob(ApprovalNamespace, statement)
			sshsig := policytest.Armor(blob)
			good[sshsig] = true
			f.Add([]byte(sshsig), false)
			f.Add([]byte(strings.ReplaceAll(sshsig, "\n", "\r\n")), false)
			f.Add(blob, true)
			f.Add(who.SignBlob(RejectionNamespace, statement), true)
			f.Add(who.SignBlob(ApprovalNamespace, statement+"x"), true)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, binary bool) {
		armored := string(text)
		if binary {
			armored = policytest.Armor(text)
		}
		a, err := people.Verify(ApprovalNamespace, []byte(statement), armored, at)
		if err == nil && !good[a.SSHSIG] {
			t.Errorf("%q is a new signature of %s", a.SSHSIG, a.Person)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		s, err := parseSSHSIG(armored)
		if err != nil {
			return
		}
		again, err := parseSSHSIG(s.armor())
		if err != nil || again.armor() != s.armor() || !bytes.Equal(again.marshal(), s.marshal()) {
			t.Errorf("%q became %q: %v", armored, s.armor(), err)
		}
	})
}
