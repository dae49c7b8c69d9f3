package sshsig_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/bundlesign/bundlesign/client/sshsig"
)

const (
	namespace = "bundlesign-approval@v1"
	text      = "bundlesign approval v1\nrequest: 1\n"
)

// kinds are those of ssh-keygen that can approve.
var kinds = map[string][]string{
	"ed25519":   {"-t", "ed25519"},
	"ecdsa-256": {"-t", "ecdsa", "-b", "256"},
	"ecdsa-384": {"-t", "ecdsa", "-b", "384"},
	"ecdsa-521": {"-t", "ecdsa", "-b", "521"},
	"rsa-2048":  {"-t", "rsa", "-b", "2048"},
}

func keygen(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ssh-keygen %q: %v: %s%s (scripts/install-deps installs it)", args, err, &stderr, out)
	}
	return out
}

// newKey has ssh-keygen make a key, and returns its file.
func newKey(t *testing.T, passphrase string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	keygen(t, "", append([]string{"-q", "-f", path, "-N", passphrase, "-C", "alice@laptop"}, args...)...)
	return path
}

// verify has ssh-keygen -Y verify judge a signature.
func verify(t *testing.T, keyFile, namespace, text, armored string) error {
	t.Helper()
	dir := t.TempDir()
	public, err := os.ReadFile(keyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"signers": "alice " + string(public), "sig": armored} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", filepath.Join(dir, "signers"), "-I", "alice", "-n", namespace, "-s", filepath.Join(dir, "sig"))
	cmd.Stdin = strings.NewReader(text)
	return cmd.Run()
}

func noPassphrase() ([]byte, error) { return nil, errors.New("asked for a passphrase") }

// What a key file signs, OpenSSH verifies, and only that.
func TestKeyFilesSignAsOpenSSHDoes(t *testing.T) {
	for kind, args := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := newKey(t, "", args...)
			key, err := sshsig.ReadKey(path, noPassphrase)
			if err != nil {
				t.Fatal(err)
			}
			armored, err := sshsig.Sign(key, namespace, text)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(t, path, namespace, text, armored); err != nil {
				t.Errorf("ssh-keygen -Y verify: %v\n%s", err, armored)
			}
			if verify(t, path, "bundlesign-rejection@v1", text, armored) == nil || verify(t, path, namespace, text+" ", armored) == nil {
				t.Error("it is taken for another purpose or text")
			}
			if _, err := sshsig.Key(armored, namespace, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// What OpenSSH signs, Key knows, and only that.
func TestSignaturesOfOpenSSHAreRead(t *testing.T) {
	for kind, args := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := newKey(t, "", args...)
			armored := string(keygen(t, text, "-Y", "sign", "-f", path, "-n", namespace))
			public, err := sshsig.PublicKey(path)
			if err != nil {
				t.Fatal(err)
			}
			found, err := sshsig.Key(armored, namespace, text)
			if err != nil || ssh.FingerprintSHA256(found) != ssh.FingerprintSHA256(public) {
				t.Errorf("found %v, %v", found, err)
			}
			for name, c := range map[string][3]string{
				"purpose":   {armored, "bundlesign-thaw@v1", text},
				"text":      {armored, namespace, text + "\n"},
				"cut":       {armored[:len(armored)/2], namespace, text},
				"no armor":  {"", namespace, text},
				"long":      {armored + strings.Repeat("\n", 40<<10), namespace, text},
				"not in it": {"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", namespace, text},
			} {
				if _, err := sshsig.Key(c[0], c[1], c[2]); err == nil {
					t.Errorf("another %s is accepted", name)
				}
			}
		})
	}
}

func TestEncryptedKeyFile(t *testing.T) {
	path := newKey(t, "correct horse", "-t", "ed25519")
	asked := 0
	answer := func(secrets ...string) func() ([]byte, error) {
		asked = 0
		return func() ([]byte, error) { asked++; return []byte(secrets[min(asked, len(secrets))-1]), nil }
	}
	key, err := sshsig.ReadKey(path, answer("wrong", "correct horse"))
	if err != nil || asked != 2 {
		t.Fatalf("asked %d times: %v", asked, err)
	}
	armored, err := sshsig.Sign(key, namespace, text)
	if err != nil || verify(t, path, namespace, text, armored) != nil {
		t.Errorf("signing: %v", err)
	}
	if _, err := sshsig.ReadKey(path, answer("wrong")); !errors.Is(err, sshsig.ErrPassphrase) || asked != 3 {
		t.Errorf("asked %d times: found %v, want ErrPassphrase after three", asked, err)
	}
	if _, err := sshsig.ReadKey(path, noPassphrase); err == nil || !strings.Contains(err.Error(), "asked for a passphrase") {
		t.Errorf("found %v, want the error of asking", err)
	}
	// What is in the clear says which key it is.
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	if public, err := sshsig.PublicKey(path); err != nil || ssh.FingerprintSHA256(public) != ssh.FingerprintSHA256(key.PublicKey()) {
		t.Errorf("found %v, %v", public, err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	path := newKey(t, "", "-t", "ed25519")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for want, path := range map[string]string{
		"no such file":         filepath.Join(dir, "none"),
		"no regular file":      dir,
		"others can read":      write("open", string(data), 0o644),
		"no private key":       write("text", "hello", 0o600),
		"more than":            write("long", strings.Repeat("x", 65<<10), 0o600),
		"no private key of ss": write("cut", string(data[:100]), 0o600),
	} {
		if _, err := sshsig.ReadKey(path, noPassphrase); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", path, err, want)
		}
	}
	if _, err := sshsig.PublicKey(write("x.pub", "ssh-ed25519 nonsense\n", 0o644)); err == nil {
		t.Error("nonsense is a public key")
	}
	if _, err := sshsig.PublicKey(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want ErrNotExist", err)
	}
}

func TestKeysThatCannotApprove(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p, q := new(big.Int).Lsh(big.NewInt(1), 1023), new(big.Int).Lsh(big.NewInt(1), 159)
	dsa, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", p, q, big.NewInt(2), big.NewInt(4)}))
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]ssh.PublicKey{"of at most 1024 bits": short, `"ssh-dss"`: dsa} {
		if err := sshsig.CheckKey(key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %q", err, want)
		}
	}
}

// lyingSigner signs something else, or with SHA-1.
type lyingSigner struct {
	ssh.Signer
	sha1 bool
}

func (s *lyingSigner) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return s.Signer.Sign(r, append(data, 0))
}

func (s *lyingSigner) SignWithAlgorithm(r io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if s.sha1 {
		algorithm = ssh.KeyAlgoRSA
	}
	return s.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(r, data, algorithm)
}

func TestNothingLeavesThatDoesNotVerify(t *testing.T) {
	for kind, want := range map[string]string{"ed25519": "no signature of its own", "rsa-2048": "want rsa-sha2-512"} {
		key, err := sshsig.ReadKey(newKey(t, "", kinds[kind]...), noPassphrase)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sshsig.Sign(&lyingSigner{key, true}, namespace, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", kind, err, want)
		}
		if _, err := sshsig.Sign(key, "", text); err == nil {
			t.Error("no namespace is accepted")
		}
	}
}

// startAgent runs a real ssh-agent and returns its socket.
func startAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("ssh-agent: %v (scripts/install-deps installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// It says where it listens once it does.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("ssh-agent: %v", err)
	}
	return socket
}

func addToAgent(t *testing.T, socket string, args ...string) {
	t.Helper()
	cmd := exec.Command("ssh-add", args...)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add %q: %v: %s", args, err, out)
	}
}

func TestAgentSignsAsOpenSSHDoes(t *testing.T) {
	socket := startAgent(t)
	files := make(map[string]string) // by fingerprint
	for _, args := range kinds {
		path := newKey(t, "", args...)
		addToAgent(t, socket, "-q", path)
		public, err := sshsig.PublicKey(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		files[ssh.FingerprintSHA256(public)] = path
	}
	agent, err := sshsig.DialAgent(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	keys, err := agent.Keys()
	if err != nil || len(keys) != len(kinds) {
		t.Fatalf("found %d keys, %v; want %d", len(keys), err, len(kinds))
	}
	for _, k := range keys {
		if k.Comment != "alice@laptop" {
			t.Errorf("the comment is %q", k.Comment)
		}
		armored, err := sshsig.Sign(k, namespace, text)
		if err != nil {
			t.Fatalf("%s: %v", k.PublicKey().Type(), err)
		}
		if err := verify(t, files[k.Fingerprint], namespace, text, armored); err != nil {
			t.Errorf("%s: ssh-keygen -Y verify: %v", k.PublicKey().Type(), err)
		}
	}
	addToAgent(t, socket, "-q", "-D")
	if _, err := sshsig.Sign(keys[0], namespace, text); err == nil || !strings.Contains(err.Error(), "did not sign") {
		t.Errorf("found %v, want that the agent did not sign", err)
	}
	if keys, err := agent.Keys(); err != nil || len(keys) != 0 {
		t.Errorf("found %d keys, %v; want none", len(keys), err)
	}
}

func TestNoAgent(t *testing.T) {
	if _, err := sshsig.DialAgent(t.Context(), filepath.Join(t.TempDir(), "s")); err == nil || !strings.Contains(err.Error(), "no ssh-agent answers") {
		t.Errorf("found %v", err)
	}
	// An agent that never answers is left when the caller has enough.
	ctx, cancel := context.WithCancel(t.Context())
	socket := filepath.Join(t.TempDir(), "s")
	accepted := silentAgent(t, socket)
	agent, err := sshsig.DialAgent(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	go func() { <-accepted; cancel() }()
	if _, err := agent.Keys(); err == nil {
		t.Error("an agent that says nothing has keys")
	}
}
