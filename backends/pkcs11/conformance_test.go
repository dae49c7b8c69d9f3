package pkcs11_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/bundlesign/bundlesign/backends/backendtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/provision"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// rival is a token of another module than SoftHSM's.
type rival struct {
	t *testing.T
	provision.Token
	pinFile string
	object  string
	link    string // to the module; this is what is configured

	mu   sync.Mutex
	rigs []*rig
}

func newRival(t *testing.T, tk provision.Token, pinFile string) *rival {
	t.Helper()
	v := &rival{t: t, Token: tk, pinFile: pinFile, object: "acme", link: filepath.Join(t.TempDir(), "module.so")}
	if err := os.Symlink(tk.Module, v.link); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *rival) config() pkcs11.Config {
	return pkcs11.Config{
		ModulePath:   v.link,
		InitArgs:     v.InitArgs,
		Token:        uri.Token{Label: v.Label},
		PIN:          uri.PINSource{Path: v.pinFile},
		ChildCommand: append(append([]string{}, v.Prefix...), self(v.t, childArg)...),
	}
}

// rivalKey is a key with a child process of its own.
type rivalKey struct {
	signer.Key
	r *rig
}

func (k rivalKey) Close() error { return errors.Join(k.Key.Close(), k.r.Close()) }

func (v *rival) open(t *testing.T) signer.Key {
	t.Helper()
	r := newRig(t, v.config())
	v.mu.Lock()
	v.rigs = append(v.rigs, r)
	v.mu.Unlock()
	return rivalKey{r.Key(pkcs11.KeyOptions{Object: v.object}), r}
}

// vanish takes the module away and ends the processes that have it loaded, as if
// the vendor's package was being replaced.
func (v *rival) vanish(t *testing.T) (heal func()) {
	t.Helper()
	if err := os.Rename(v.link, v.link+".away"); err != nil {
		t.Fatal(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.rigs {
		if r.count(opened) > 0 {
			_ = syscall.Kill(r.pid(), syscall.SIGKILL) // it may have ended
		}
	}
	v.rigs = v.rigs[len(v.rigs)-1:] // only the newest may be in use still
	return func() {
		if err := os.Rename(v.link+".away", v.link); err != nil {
			t.Error(err)
		}
	}
}

// conform runs the suite with the key of the token.
func (v *rival) conform(t *testing.T, level signer.CustodyLevel, public *capgo.PublicKey, private *rsa.PrivateKey) {
	t.Helper()
	backendtest.Run(t, backendtest.Harness{
		Open:       v.open,
		PublicKey:  public,
		PrivateKey: private,
		Backend:    pkcs11.Backend,
		Level:      level,
		Break:      v.vanish,
		Secrets:    slices.DeleteFunc([]string{v.PIN, v.SOPIN}, func(s string) bool { return s == "" }),
	})
}

// outsideKey makes a key that is to be imported.
func outsideKey(t *testing.T) (*rsa.PrivateKey, *capgo.PublicKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		t.Fatal(err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}
