package sshsig_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/bundlesign/bundlesign/client/sshsig"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
)

// fakeDeviceAgent is an ssh-agent with one key that nobody has to touch: a real one
// takes FIDO2 keys only with the device.
type fakeDeviceAgent struct {
	agent.ExtendedAgent
	key ssh.Signer
}

func (a *fakeDeviceAgent) List() ([]*agent.Key, error) {
	public := a.key.PublicKey()
	return []*agent.Key{
		{Format: "ssh-new", Blob: ssh.Marshal(struct{ Type, Key string }{"ssh-new", "of another kind"}), Comment: "a new one"},
		{Format: public.Type(), Blob: public.Marshal(), Comment: "a device"},
	}, nil
}

func (a *fakeDeviceAgent) SignWithFlags(_ ssh.PublicKey, data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) {
	return a.key.Sign(nil, data)
}

// serveAgent serves an agent at a socket until the test ends.
func serveAgent(t *testing.T, a agent.Agent) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(a, conn) // until the client goes
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return socket
}

// A FIDO2 key's flags come from the agent and arrive: that it was touched, and that
// it has verified its user.
func TestFIDO2KeysInAnAgent(t *testing.T) {
	for _, kind := range []policytest.Kind{policytest.SKEd25519, policytest.SKECDSA} {
		for _, flags := range []byte{policytest.UserPresent, policytest.UserPresent | policytest.UserVerified, 0} {
			alice := policytest.NewPerson(t, "alice", kind)
			alice.Authenticator.Flags = flags
			keyring, ok := agent.NewKeyring().(agent.ExtendedAgent)
			if !ok {
				t.Fatal("the keyring is no agent with flags")
			}
			a, err := sshsig.DialAgent(t.Context(), serveAgent(t, &fakeDeviceAgent{keyring, alice.Signer()}))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := a.Keys()
			if err != nil || len(keys) != 1 || keys[0].Fingerprint != alice.Fingerprint() {
				t.Fatalf("found %v, %v; want the device's key only", keys, err)
			}
			armored, err := sshsig.Sign(keys[0], namespace, text)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if flags == 0 {
				if err == nil {
					t.Errorf("%s: a signature without a touch leaves", kind)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			// Both judges: OpenSSH, and the daemon's.
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(alice.PublicKey()), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := verify(t, path, namespace, text, armored); err != nil {
				t.Errorf("%s: ssh-keygen -Y verify: %v", kind, err)
			}
			people, err := policy.NewPeople(policytest.AllowedSigners(alice), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			found, err := people.Verify(namespace, []byte(text), armored, time.Now())
			if err != nil || found.Person != "alice" || found.UserVerified != (flags&policytest.UserVerified != 0) {
				t.Errorf("%s, flags %d: found %+v, %v", kind, flags, found, err)
			}
		}
	}
}

// A key file that is the handle of a device is told from one with a private key in it.
func TestHandleOfADevice(t *testing.T) {
	alice := policytest.NewPerson(t, "alice", policytest.SKEd25519)
	path := handleFile(t, alice.PublicKey())
	if _, err := sshsig.ReadKey(path, noPassphrase); err != sshsig.ErrSecurityKey {
		t.Errorf("found %v, want ErrSecurityKey", err)
	}
	if public, err := sshsig.PublicKey(path); err != nil || ssh.FingerprintSHA256(public) != alice.Fingerprint() {
		t.Errorf("found %v, %v", public, err)
	}
}
