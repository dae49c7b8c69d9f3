package policy_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

func TestVerifyRefuses(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.Ed25519)
	removed := policytest.NewPerson(t, "alice", policytest.Ed25519)
	early := policytest.NewPerson(t, "early", policytest.Ed25519)
	early.Options = `valid-after="20260301120001Z"`
	late := policytest.NewPerson(t, "late", policytest.Ed25519)
	late.Options = `valid-before="20260301115959Z"`
	git := policytest.NewPerson(t, "git", policytest.Ed25519)
	git.Options = `namespaces="git,bundlesign-rejection@v1"`
	people := newPeople(t, alice, early, late, git)

	good := alice.Sign(policy.ApprovalNamespace, statement)
	blob := alice.SignBlob(policy.ApprovalNamespace, statement)
	fields := policytest.Blob{
		PublicKey: alice.PublicKey().Marshal(), Namespace: policy.ApprovalNamespace, Hash: "sha512",
		Signature: blob[len(blob)-83:], // of a length of its own: 4 + 11 + 4 + 64 bytes
	}
	if policytest.Armor(fields.Marshal()) != good {
		t.Fatal("the fields are to be those of the good signature")
	}
	with := func(change func(*policytest.Blob)) string {
		b := fields
		change(&b)
		return policytest.Armor(b.Marshal())
	}
	key := func(k any) func(*policytest.Blob) {
		return func(b *policytest.Blob) { b.PublicKey = ssh.Marshal(k) }
	}

	for name, c := range map[string]struct{ sshsig, want string }{
		"nothing":                 {"", "want the output of ssh-keygen"},
		"garbage":                 {"hello", `found "hello"`},
		"64 KiB and a byte":       {good + strings.Repeat("\n", policy.MaxSSHSIG-len(good)+1), "found 65537 bytes"},
		"something before":        {"\n" + good, "which begins with"},
		"no line after header":    {strings.Replace(good, "\n", " ", 1), "no line end"},
		"no footer":               {good[:len(good)-10], "cut off"},
		"something after":         {good + good, "want nothing"},
		"not base64":              {strings.Replace(good, "U1NI", "U1N!", 1), "damaged"},
		"padding in the middle":   {strings.Replace(good, "U1NI", "U1==", 1), "damaged"},
		"empty":                   {"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n", "found 0 bytes where"},
		"empty blob":              {"-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n", "found 0 bytes where"},
		"magic":                   {policytest.Armor([]byte(strings.Replace(string(blob), "SSHSIG", "SSHSIH", 1))), "found \"SSHSIH\""},
		"version 2":               {with(func(b *policytest.Blob) { b.Version = 2 }), "found version 2"},
		"trailing byte":           {with(func(b *policytest.Blob) { b.Trailing = []byte{0} }), "found 1 bytes after the signature"},
		"reserved":                {with(func(b *policytest.Blob) { b.Reserved = []byte{0} }), "reserved field"},
		"hash":                    {with(func(b *policytest.Blob) { b.Hash = "sha1" }), `hash algorithm "sha1"`},
		"other hash":              {with(func(b *policytest.Blob) { b.Hash = "sha256" }), "does not fit"},
		"no namespace":            {with(func(b *policytest.Blob) { b.Namespace = "" }), "empty namespace"},
		"namespace put on":        {with(func(b *policytest.Blob) { b.Namespace = policy.RejectionNamespace }), "found one in the namespace"},
		"a rejection":             {alice.Sign(policy.RejectionNamespace, statement), `found one in the namespace "bundlesign-rejection@v1", want "bundlesign-approval@v1"`},
		"a long namespace":        {alice.Sign(strings.Repeat("\x00", 10000), statement), `\x00"..., want`},
		"other statement":         {alice.Sign(policy.ApprovalNamespace, statement+"x"), "does not fit this statement"},
		"forged":                  {with(func(b *policytest.Blob) { b.PublicKey = git.PublicKey().Marshal() }), "may not be used"},
		"somebody else's":         {with(func(b *policytest.Blob) { b.PublicKey = removed.PublicKey().Marshal() }), "belongs to nobody"},
		"removed key":             {removed.Sign(policy.ApprovalNamespace, statement), removed.Fingerprint() + " (ssh-ed25519) belongs to nobody"},
		"not yet valid":           {early.Sign(policy.ApprovalNamespace, statement), early.Fingerprint() + " of early is valid from 2026-03-01T12:00:01Z only"},
		"expired":                 {late.Sign(policy.ApprovalNamespace, statement), "of late was valid until 2026-03-01T11:59:59Z only"},
		"not for approvals":       {git.Sign(policy.ApprovalNamespace, statement), `of git may not be used in the namespace "bundlesign-approval@v1"; allowed_signers gives it "git,bundlesign-rejection@v1"`},
		"no key":                  {with(func(b *policytest.Blob) { b.PublicKey = nil }), "cut off"},
		"DSA":                     {with(key(struct{ Type, Rest string }{"ssh-dss", "x"})), "DSA"},
		"certificate":             {with(key(struct{ Type, Rest string }{"ssh-ed25519-cert-v01@openssh.com", "x"})), "certificate"},
		"weak RSA":                {with(key(rsaKey{"ssh-rsa", big.NewInt(65537), oddNumber(1024)})), "1024 bits"},
		"unknown type":            {with(key(struct{ Type, Rest string }{"ssh-ed448", "x"})), `"ssh-ed448"`},
		"other format":            {with(func(b *policytest.Blob) { b.Signature = []byte("\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x00") }), `found a signature of format "ssh-rsa", want ssh-ed25519`},
		"no signature":            {with(func(b *policytest.Blob) { b.Signature = nil }), "cut off"},
		"a length beyond the end": {with(func(b *policytest.Blob) { b.Signature = []byte("\xff\xff\xff\xffxxxx") }), "needs 4294967295"},
		"bytes inside the signature": {
			with(func(b *policytest.Blob) { b.Signature = append(b.Signature[:len(b.Signature):len(b.Signature)], 0) }), "found 1 bytes after the signature's value",
		},
	} {
		got, err := people.Verify(policy.ApprovalNamespace, []byte(statement), c.sshsig, noon)
		if err == nil || got != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", name, got, err, c.want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	// What differs is the time and nothing else.
	for _, c := range []struct {
		who *policytest.Person
		at  time.Time
	}{{early, noon.Add(time.Second)}, {late, noon.Add(-time.Second)}} {
		if _, err := people.Verify(policy.ApprovalNamespace, []byte(statement), c.who.Sign(policy.ApprovalNamespace, statement), c.at); err != nil {
			t.Error(err)
		}
	}
	if _, err := new(policy.People).Verify(policy.ApprovalNamespace, []byte(statement), good, noon); err == nil || !strings.Contains(err.Error(), "belongs to nobody") {
		t.Errorf("without people: got %v", err)
	}
}

// White space is as ssh-keygen takes it, and what Verify returns has none of it.
func TestVerifyReturnsTheCanonicalArmor(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.Ed25519)
	people, good := newPeople(t, alice), alice.Sign(policy.ApprovalNamespace, statement)
	for name, sshsig := range map[string]string{
		"as it is":         good,
		"CRLF":             strings.ReplaceAll(good, "\n", "\r\n"),
		"no last line end": strings.TrimSpace(good),
		"blanks":           strings.ReplaceAll(good, "U1NI", " U1\tN\v\fI"),
		"one line":         "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(alice.SignBlob(policy.ApprovalNamespace, statement)) + "\n-----END SSH SIGNATURE-----",
		"more line ends":   good + "\r\n\n ",
	} {
		got, err := people.Verify(policy.ApprovalNamespace, []byte(statement), sshsig, noon)
		if err != nil || got.SSHSIG != good {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		// Older releases of ssh-keygen do not take CRLF after the header.
		if err := sshKeygenVerify(t, policytest.AllowedSigners(alice), "alice", policy.ApprovalNamespace, statement, sshsig, noon); err != nil && name != "CRLF" {
			t.Errorf("%s: ssh-keygen: %v", name, err)
		}
	}
}

// A good signature with SHA-1 is refused for that, and not for being wrong.
func TestVerifyRefusesSHA1(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.RSA)
	digest := sha1.Sum(policytest.SignedData(policy.ApprovalNamespace, "sha512", statement))
	value, err := rsa.SignPKCS1v15(rand.Reader, alice.Private.(*rsa.PrivateKey), crypto.SHA1, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := &ssh.Signature{Format: "ssh-rsa", Blob: value}
	if err := alice.PublicKey().Verify(policytest.SignedData(policy.ApprovalNamespace, "sha512", statement), signature); err != nil {
		t.Fatalf("it is to be a good signature: %v", err)
	}
	sshsig := policytest.Armor(policytest.Blob{
		PublicKey: alice.PublicKey().Marshal(), Namespace: policy.ApprovalNamespace, Hash: "sha512", Signature: ssh.Marshal(signature),
	}.Marshal())
	_, err = newPeople(t, alice).Verify(policy.ApprovalNamespace, []byte(statement), sshsig, noon)
	if err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("got %v", err)
	}
}

// The flags of a FIDO2 key are signed: nobody sets them afterwards. Nor does
// anything but flags and counter follow the signature.
func TestVerifyCoversTheFlags(t *testing.T) {
	for _, kind := range []policytest.Kind{policytest.SKEd25519, policytest.SKECDSA} {
		alice := policytest.NewPerson(t, "alice", kind)
		people := newPeople(t, alice)
		blob := alice.SignBlob(policy.ApprovalNamespace, statement)
		for name, c := range map[string]struct {
			change func([]byte) []byte
			want   string
		}{
			"user verification added": {func(s []byte) []byte { s[len(s)-5] |= policytest.UserVerified; return s }, "does not fit"},
			"counter":                 {func(s []byte) []byte { s[len(s)-1]++; return s }, "does not fit"},
			"no counter":              {func(s []byte) []byte { return s[:len(s)-4] }, "counter"},
			"no flags":                {func(s []byte) []byte { return s[:len(s)-5] }, "flags"},
			"one byte more":           {func(s []byte) []byte { return append(s, 0) }, "found 1 bytes after"},
		} {
			// The signature is the last string of the blob.
			head := len(policytest.Blob{PublicKey: alice.PublicKey().Marshal(), Namespace: policy.ApprovalNamespace, Hash: "sha512"}.Marshal())
			signature := c.change([]byte(string(blob[head:])))
			sshsig := policytest.Armor(policytest.Blob{
				PublicKey: alice.PublicKey().Marshal(), Namespace: policy.ApprovalNamespace, Hash: "sha512", Signature: signature,
			}.Marshal())
			if _, err := people.Verify(policy.ApprovalNamespace, []byte(statement), sshsig, noon); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: got %v", kind, name, err)
			}
		}
		// Another application is another key.
		alice.Authenticator.Application = "ssh:other"
		if _, err := people.Verify(policy.ApprovalNamespace, []byte(statement), alice.Sign(policy.ApprovalNamespace, statement), noon); err == nil || !strings.Contains(err.Error(), "belongs to nobody") {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}
