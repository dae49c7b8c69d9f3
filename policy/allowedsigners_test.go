package policy_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

// authorizedKey writes fields of a key in their wire form as a line has them.
func authorizedKey(fields any) string {
	wire := ssh.Marshal(fields)
	var keyType struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(wire, &keyType); err != nil {
		panic(err)
	}
	return keyType.Type + " " + base64.StdEncoding.EncodeToString(wire)
}

type rsaKey struct {
	Type string
	E, N *big.Int
}

// oddNumber has exactly that many bits.
func oddNumber(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.SetBit(n, 0, 1)
}

func TestAllowedSignersRefuses(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.Ed25519)
	sk := policytest.NewPerson(t, "alice", policytest.SKEd25519)
	skLine := sk.AllowedSignersLine()
	sk.Authenticator.Application = "https://example.com"
	key := strings.TrimSpace(strings.TrimPrefix(alice.AllowedSignersLine(), "alice "))
	wire := key[len("ssh-ed25519 "):]
	other := strings.TrimSpace(strings.TrimPrefix(policytest.NewPerson(t, "x", policytest.ECDSA256).AllowedSignersLine(), "x "))

	for _, c := range []struct {
		file         string
		line, column int
		want         string
	}{
		// Principals are people.
		{"*@acme.com " + key, 1, 1, "found the pattern"},
		{"ali?e " + key, 1, 1, "found the pattern"},
		{"!alice " + key, 1, 1, "found the pattern"},
		{"alice,bob " + key, 1, 1, "want one name"},
		{"alice, " + key, 1, 1, "want one name"},
		{`"alice smith" ` + key, 1, 1, "cannot stand"},
		{`al\ice ` + key, 1, 1, "cannot stand"},
		{"аlice " + key, 1, 1, `'\u0430' cannot stand`}, // a Cyrillic a
		{strings.Repeat("a", 129) + " " + key, 1, 1, "a name of 129 bytes"},
		{"alice", 1, 6, "found no key"},
		{"# x\n\n  alice " + key + "\r\nbob " + key, 4, 1, "line 3 gives to alice; a key belongs to one person"},
		{"alice " + key + "\nalice " + key, 2, 1, "line 1 has already"},
		{"alice " + key + "\nAlice " + other, 2, 1, "are they one person?"},
		// The same key in other clothes.
		{"alice " + key + "\nbob " + authorizedKey(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(alice.PublicKey().Marshal()[19:]), "ssh:"}), 2, 1, "a key belongs to one person"},
		{skLine + "bob " + authorizedKey(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(sk.PublicKey().Marshal()[34:66]), "ssh:other"}), 2, 1, "a key belongs to one person"},
		{"alice " + authorizedKey(rsaKey{"ssh-rsa", big.NewInt(65537), oddNumber(2048)}) + "\nbob " + authorizedKey(rsaKey{"ssh-rsa", big.NewInt(17), oddNumber(2048)}), 2, 1, "a key belongs to one person"},
		// Characters that show another text.
		{"# all is well\rmallory " + key, 1, 14, `'\r'`},
		{"\ufeffalice " + key, 1, 1, `'\ufeff'`},
		{"alice " + key + " \u202ecomment", 1, 6 + len(key) + 2, `'\u202e'`},
		{"alice " + key + "\x00", 1, 6 + len(key) + 1, `'\x00'`},
		{"# éé\xff", 1, 5, `'\ufffd'`},
		// Options.
		{"alice cert-authority " + key, 1, 7, "certificates are not supported"},
		{"alice restrict " + key, 1, 7, `found "restrict", which is neither`},
		{"alice ssh-ed22519 " + wire, 1, 7, `found "ssh-ed22519", which is neither`},
		{`alice no-touch-required ` + key, 1, 7, "is neither"},
		{`alice verify-required ` + key, 1, 7, "is neither"},
		{`alice namespaces=file ` + key, 1, 17, "double quotes"},
		{`alice namespaces="file ` + key, 1, 19, "no closing double quote"},
		{`alice namespaces="file\" ` + key, 1, 19, "no closing double quote"},
		{`alice namespaces="file", ` + key, 1, 25, "no name of an option"},
		{`alice ,namespaces="file" ` + key, 1, 7, "no name of an option"},
		{`alice namespaces="file";x ` + key, 1, 24, "want a comma or a blank"},
		{`alice namespaces="a",namespaces="b" ` + key, 1, 22, "found namespaces twice"},
		{`alice namespaces="" ` + key, 1, 19, "empty pattern"},
		{`alice namespaces="a,,b" ` + key, 1, 19, "empty pattern"},
		{`alice namespaces="a, b" ` + key, 1, 19, "without blanks"},
		{`alice namespaces="!file" ` + key, 1, 19, "match nothing"},
		{`alice namespaces="` + strings.Repeat("a", 256) + `" ` + key, 1, 19, "a pattern of 256 bytes"},
		{`alice valid-after="20260101" ` + key, 1, 20, "another time zone"},
		{`alice valid-after="20260101z" ` + key, 1, 20, "want UTC"},
		{`alice valid-after="20260101UTC" ` + key, 1, 20, "want UTC"},
		{`alice valid-after="2026010112Z" ` + key, 1, 20, "want UTC"},
		{`alice valid-after="" ` + key, 1, 20, "want UTC"},
		{`alice valid-after="20260101 120Z" ` + key, 1, 20, "want UTC"},
		{`alice valid-after="-2026101Z" ` + key, 1, 20, "want UTC"},
		{`alice valid-before="20260231Z" ` + key, 1, 21, "not in the calendar"},
		{`alice valid-before="20260101236000Z" ` + key, 1, 21, "not in the calendar"},
		{`alice valid-before="19700101Z" ` + key, 1, 21, "after 1970"},
		{`alice valid-before="20260101Z",valid-after="20260101Z" ` + key, 1, 32, "never be valid"},
		{`alice valid-before="20260101Z",VALID-before="20260101Z" ` + key, 1, 32, "twice"},
		// Keys.
		{`alice namespaces="file"`, 1, 24, "found no key, want its type"},
		{"alice ssh-ed25519", 1, 18, "found no key after its type"},
		{"alice ssh-ed25519 " + wire[:len(wire)-4], 1, 19, "damaged"},
		{"alice ssh-ed25519 " + wire[:len(wire)-1], 1, 19, "not base64"},
		{"alice ssh-ed25519 %%%%", 1, 19, "not base64"},
		{"alice ssh-rsa " + wire, 1, 15, "of type ssh-ed25519 behind the word ssh-rsa"},
		{"alice ssh-dss AAAA", 1, 7, "DSA"},
		{"alice ssh-ed25519-cert-v01@openssh.com AAAA", 1, 7, "found a certificate"},
		{"alice ssh-ed25519 " + strings.Fields(authorizedKey(struct{ Type, Rest string }{"ssh-ed25519-cert-v01@openssh.com", "x"}))[1], 1, 19, "found a certificate"},
		{"alice ssh-ed25519 " + strings.Fields(authorizedKey(struct{ Type, Rest string }{"ssh-dss", "x"}))[1], 1, 19, "DSA"},
		{"alice " + authorizedKey(struct{ Type, Key, Rest string }{"ssh-ed25519", strings.Repeat("k", 32), ""}), 1, 19, "damaged"},
		{"alice " + authorizedKey(struct{ Type, Key string }{"ssh-ed25519", strings.Repeat("k", 31)}), 1, 19, "damaged"},
		{"alice " + authorizedKey(rsaKey{"ssh-rsa", big.NewInt(65537), oddNumber(2047)}), 1, 15, "2047 bits, want at least 2048"},
		{"alice " + authorizedKey(rsaKey{"ssh-rsa", big.NewInt(65537), oddNumber(16385)}), 1, 15, "too large"},
		{"alice " + authorizedKey(rsaKey{"ssh-rsa", big.NewInt(65537), new(big.Int).Lsh(big.NewInt(1), 2047)}), 1, 15, "even modulus"},
		{"alice " + authorizedKey(struct{ Type, E, N string }{"ssh-rsa", "\x00\x01\x00\x01", "\x00" + string(oddNumber(2048).Bytes())}), 1, 15, "in an unusual way"},
		{"alice " + authorizedKey(struct{ Type, Curve, Point string }{"ecdsa-sha2-nistp256", "nistp256", "\x04" + strings.Repeat("x", 64)}), 1, 27, "damaged"},
		{sk.AllowedSignersLine(), 1, 34, `for the application "https://example.com"`},
		{strings.Repeat("#\n", 1<<19) + "#", 0, 0, "found 1048577 bytes"},
	} {
		p, err := policy.NewPeople([]byte(c.file), nil, nil)
		var fault *policy.FieldError
		if !errors.As(err, &fault) || p != nil {
			t.Errorf("%.120q: got %v, %v, want a *FieldError", c.file, p, err)
			continue
		}
		if fault.Field != "allowed_signers" || fault.Line != c.line || fault.Column != c.column || !strings.Contains(fault.Error(), c.want) {
			t.Errorf("%.120q: got %q at %d:%d: %v\nwant %q at %d:%d", c.file, fault.Field, fault.Line, fault.Column, fault, c.want, c.line, c.column)
		}
		if len(fault.Error()) > 400 {
			t.Errorf("%.120q: an error of %d bytes", c.file, len(fault.Error()))
		}
	}
}

func TestAllowedSignersReportsEveryFault(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.Ed25519)
	lines := func(err error) (got []int) {
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			got = append(got, e.(*policy.FieldError).Line)
		}
		return got
	}
	_, err := policy.NewPeople([]byte("bob\n"+alice.AllowedSignersLine()+"carol x\n\n* y\n"), map[string][]string{"all": {"alice", "bob"}}, nil)
	if got := fmt.Sprint(lines(err)); got != "[1 3 5]" {
		t.Errorf("got faults in lines %s: %v", got, err)
	}
	// A file of something else does not fill the log.
	_, err = policy.NewPeople([]byte(strings.Repeat("<html>\n", 10000)), nil, nil)
	if got := lines(err); len(got) != 21 {
		t.Errorf("got %d faults", len(got))
	}
}

func TestAllowedSignersTakes(t *testing.T) {
	var people []*policytest.Person
	for i, kind := range policytest.Kinds() {
		people = append(people, policytest.NewPerson(t, fmt.Sprintf("person-%d@acme.com", i%3), kind))
	}
	p := newPeople(t, people...)
	for _, who := range people {
		got, err := p.Verify(policy.ApprovalNamespace, []byte(statement), who.Sign(policy.ApprovalNamespace, statement), noon)
		if err != nil || got.Person != who.Name || got.Key != who.Fingerprint() {
			t.Errorf("%s: got %+v, %v", who.Name, got, err)
		}
	}
	for _, empty := range []string{"", "\n", "# nobody\r\n", " \t"} {
		if _, err := policy.NewPeople([]byte(empty), nil, nil); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
	for _, key := range []rsaKey{{"ssh-rsa", big.NewInt(65537), oddNumber(2048)}, {"ssh-rsa", big.NewInt(3), oddNumber(16384)}} {
		if _, err := policy.NewPeople([]byte("alice "+authorizedKey(key)), nil, nil); err != nil {
			t.Error(err)
		}
	}
}
