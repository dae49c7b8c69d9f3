package policy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

const statement = "bundlesign statement\napp: com.acme.shop\n"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sshKeygen runs the real one with something on its standard input.
func sshKeygen(t *testing.T, stdin string, args ...string) (output string, err error) {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Fatal("found no ssh-keygen; install openssh-client, or run scripts/install-deps")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC", "HOME=" + t.TempDir()}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sshKeygenVerify returns nil if ssh-keygen -Y verify takes a signature.
func sshKeygenVerify(t *testing.T, allowedSigners []byte, name, namespace, statement, sshsig string, at time.Time) error {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "allowed_signers"), string(allowedSigners))
	write(t, filepath.Join(dir, "sig"), sshsig)
	out, err := sshKeygen(t, statement, "-Y", "verify", "-f", filepath.Join(dir, "allowed_signers"), "-I", name,
		"-n", namespace, "-s", filepath.Join(dir, "sig"), "-O", "verify-time="+at.Format("20060102150405Z"))
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newPeople(t *testing.T, people ...*policytest.Person) *policy.People {
	t.Helper()
	p, err := policy.NewPeople(policytest.AllowedSigners(people...), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What ssh-keygen -Y sign makes, Verify takes, and gives back unchanged.
func TestVerifyTakesWhatSSHKeygenSigns(t *testing.T) {
	for _, kind := range []policytest.Kind{policytest.Ed25519, policytest.ECDSA256, policytest.ECDSA384, policytest.ECDSA521, policytest.RSA} {
		for _, hash := range []string{"sha256", "sha512"} {
			t.Run(string(kind)+" "+hash, func(t *testing.T) {
				alice := policytest.NewPerson(t, "alice@acme.com", kind)
				dir := t.TempDir()
				text := filepath.Join(dir, "statement")
				write(t, text, statement)
				out, err := sshKeygen(t, "", "-Y", "sign", "-f", alice.WriteKey(dir, ""), "-n", policy.ApprovalNamespace, "-O", "hashalg="+hash, text)
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				sshsig, err := os.ReadFile(text + ".sig")
				if err != nil {
					t.Fatal(err)
				}
				people := newPeople(t, policytest.NewPerson(t, "bob", policytest.Ed25519), alice)
				got, err := people.Verify(policy.ApprovalNamespace, []byte(statement), string(sshsig), noon)
				if err != nil {
					t.Fatal(err)
				}
				want := policy.Approval{Person: "alice@acme.com", Key: alice.Fingerprint(), Time: noon, SSHSIG: string(sshsig)}
				if *got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if _, err := people.Verify(policy.ApprovalNamespace, []byte(statement+" "), string(sshsig), noon); err == nil || !strings.Contains(err.Error(), "does not fit this statement") {
					t.Errorf("another statement: got %v", err)
				}
			})
		}
	}
}

// The other way: what the tests' keys sign, FIDO2 keys included, both take.
func TestSSHKeygenTakesWhatVerifyTakes(t *testing.T) {
	for _, kind := range policytest.Kinds() {
		for _, hash := range []string{"sha256", "sha512"} {
			for _, algorithm := range []string{"rsa-sha2-256", "rsa-sha2-512"} {
				if kind != policytest.RSA && algorithm != "rsa-sha2-512" {
					continue
				}
				t.Run(fmt.Sprint(kind, " ", hash, " ", algorithm), func(t *testing.T) {
					alice := policytest.NewPerson(t, "alice", kind)
					alice.Hash = hash
					if kind == policytest.RSA {
						alice.Algorithm = algorithm
					}
					alice.Options = `namespaces="bundlesign-*@v1",valid-after="20260101Z",valid-before="20270101Z"`
					sshsig := alice.Sign(policy.ThawNamespace, statement)
					if err := sshKeygenVerify(t, policytest.AllowedSigners(alice), "alice", policy.ThawNamespace, statement, sshsig, noon); err != nil {
						t.Error(err)
					}
					got, err := newPeople(t, alice).Verify(policy.ThawNamespace, []byte(statement), sshsig, noon)
					if err != nil {
						t.Fatal(err)
					}
					if got.SSHSIG != sshsig || got.Person != "alice" || got.UserVerified {
						t.Errorf("got %+v", got)
					}
				})
			}
		}
	}
}

// Each line of allowed_signers that NewPeople takes means to ssh-keygen what it
// means to us, at each time and in each namespace.
func TestAllowedSignersMeansWhatItMeansToSSHKeygen(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.Ed25519)
	signatures := make(map[string]string)
	for _, namespace := range []string{policy.ApprovalNamespace, policy.RejectionNamespace} {
		signatures[namespace] = alice.Sign(namespace, statement)
	}
	line := strings.TrimSuffix(strings.TrimPrefix(alice.AllowedSignersLine(), "alice "), "\n")
	for _, file := range []string{
		"alice " + line,
		"\talice \t " + line + " \t a comment, with \"quotes\"\n",
		"# a comment\n\n   # another\r\nalice " + line + "\r\n\r\n",
		`alice namespaces="` + policy.ApprovalNamespace + `" ` + line,
		`alice NameSpaces="file,` + policy.RejectionNamespace + `"` + "\t" + line,
		`alice namespaces="*" ` + line,
		`alice namespaces="bundlesign-?pproval@v1" ` + line,
		`alice namespaces="bundlesign-?ejectio@v1" ` + line,
		`alice namespaces="bundlesign-**@v1,!*rejection*" ` + line,
		`alice namespaces="!*rejection*,bundlesign-*" ` + line,
		`alice namespaces="a\"b" ` + line,
		`alice namespaces="a\b,*" ` + line,
		`alice valid-after="20260301Z" ` + line,
		`alice valid-after="202603011200Z" ` + line,
		`alice valid-after="20260301120001Z" ` + line,
		`alice valid-before="20260301Z" ` + line,
		`alice valid-before="202603011200Z" ` + line,
		`alice valid-before="20260301115959Z" ` + line,
		`alice valid-before="20260302Z",valid-after="20260228Z",namespaces="file" ` + line,
		`alice VALID-BEFORE="20260302Z",valid-after="20260228Z" ` + line,
		`alice valid-after="20240229Z" ` + line,
		`alice valid-before="99991231Z" ` + line,
	} {
		people, err := policy.NewPeople([]byte(file), nil, nil)
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		for namespace, sshsig := range signatures {
			for _, at := range []time.Time{noon.Add(-time.Second), noon, noon.Add(time.Second)} {
				want := sshKeygenVerify(t, []byte(file), "alice", namespace, statement, sshsig, at)
				// Half a second later is the same second.
				_, got := people.Verify(namespace, []byte(statement), sshsig, at.Add(500*time.Millisecond))
				if (got == nil) != (want == nil) {
					t.Errorf("%q in %s at %v:\ngot  %v\nwant %v", file, namespace, at, got, want)
				}
			}
		}
	}
}

// The one thing in which Verify and ssh-keygen do not agree about a FIDO2 key.
func TestUntouchedKeyIsRefused(t *testing.T) {
	for _, kind := range []policytest.Kind{policytest.SKEd25519, policytest.SKECDSA} {
		for _, c := range []struct {
			flags    byte
			touched  bool
			verified bool
		}{
			{0, false, false},
			{policytest.UserVerified, false, false},
			{policytest.UserPresent, true, false},
			{policytest.UserPresent | policytest.UserVerified, true, true},
			{0xff &^ policytest.UserPresent, false, false},
			{0xff, true, true},
		} {
			alice := policytest.NewPerson(t, "alice", kind)
			alice.Authenticator.Flags = c.flags
			sshsig := alice.Sign(policy.ApprovalNamespace, statement)
			if err := sshKeygenVerify(t, policytest.AllowedSigners(alice), "alice", policy.ApprovalNamespace, statement, sshsig, noon); err != nil {
				t.Fatalf("%s, flags %#x: it is to be a good signature: %v", kind, c.flags, err)
			}
			got, err := newPeople(t, alice).Verify(policy.ApprovalNamespace, []byte(statement), sshsig, noon)
			switch {
			case !c.touched && (err == nil || !strings.Contains(err.Error(), "was not touched")):
				t.Errorf("%s, flags %#x: got %+v, %v", kind, c.flags, got, err)
			case c.touched && (err != nil || got.UserVerified != c.verified):
				t.Errorf("%s, flags %#x: got %+v, %v", kind, c.flags, got, err)
			}
		}
	}
}
