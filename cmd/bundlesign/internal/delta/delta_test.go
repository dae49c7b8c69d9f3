package delta

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// signer stands for the daemon: it has a key, and signs a plan with it.
type signer struct {
	private *rsa.PrivateKey
	public  *capgo.PublicKey
}

// Making a key takes a good part of a second, so all tests share two.
var signers = sync.OnceValue(func() (s [2]signer) {
	for i := range s {
		private, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
		if err != nil {
			panic(err)
		}
		public, err := capgo.NewPublicKey(&private.PublicKey)
		if err != nil {
			panic(err)
		}
		s[i] = signer{private, public}
	}
	return s
})

func (s signer) sign(t testing.TB, p capgo.Payload) capgo.Signature {
	t.Helper()
	material, err := p.Material(nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := rsa.SignPKCS1v15(nil, s.private, crypto.Hash(0), material)
	if err != nil {
		t.Fatal(err)
	}
	return capgo.Signature(sig)
}

// session is a request of the signer's: a wrapped key, and the same in the clear.
func (s signer) session(t testing.TB) (capgo.WrappedKey, *capgo.SessionKey) {
	t.Helper()
	wrapped := capgo.WrappedKey{IV: capgo.NewIV(), Wrapped: s.sign(t, capgo.SessionKeyPayload())}
	key, err := s.public.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped, key
}

// hashes signs the plan.
func (s signer) hashes(t testing.TB, p *Plan, format capgo.ChecksumFormat) []string {
	t.Helper()
	out := make([]string, len(p.Files))
	for i, f := range p.Files {
		payload, err := capgo.ChecksumPayload(f.Digest, format)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = s.sign(t, payload).Checksum(format)
	}
	return out
}

// target signs the plan and has it written to dir.
func (s signer) target(t testing.TB, p *Plan, dir string) (Target, capgo.WrappedKey) {
	t.Helper()
	wrapped, key := s.session(t)
	return Target{Dir: dir, Key: key, IV: wrapped.IV, Hashes: s.hashes(t, p, capgo.FormatHex)}, wrapped
}

// content is a file of an app that is in memory.
type content map[string][]byte

// app is the content as an app.
func (c content) app() *webapp.App {
	a := &webapp.App{Path: "www"}
	for name, data := range c {
		a.Files = append(a.Files, webapp.File{Name: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(c[name])), nil
		}})
	}
	slices.SortFunc(a.Files, func(x, y webapp.File) int { return strings.Compare(x.Name, y.Name) })
	return a
}

func (c content) equal(d content) bool { return maps.EqualFunc(c, d, bytes.Equal) }

func (c content) plan(t testing.TB) *Plan {
	t.Helper()
	p, err := Hash(t.Context(), c.app(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// text is n bytes that Brotli shrinks, and is quick with.
func text(n int, seed string) []byte {
	line := seed + ": the quick brown fox jumps over the lazy dog; "
	return []byte(strings.Repeat(line, n/len(line)+1)[:n])
}

// noise is n bytes that nothing shrinks.
func noise(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// onPhone does with an update in dir what a phone does, and returns the files.
func onPhone(t testing.TB, dir string, key *capgo.PublicKey, sessionKey string) content {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := capgo.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	got := make(content)
	for _, e := range entries {
		object := "files/" + e.DownloadURL[strings.LastIndex(e.DownloadURL, "/")+1:]
		stored, err := os.ReadFile(filepath.Join(dir, object))
		if err != nil {
			t.Fatal(err)
		}
		if want := "files/" + capgo.Digest(sha256.Sum256(stored)).String(); object != want {
			t.Errorf("%s is called %s, want %s", e.FileName, object, want)
		}
		var plain bytes.Buffer
		if _, err := capgo.VerifyFile(key, bytes.NewReader(stored), e, sessionKey, &plain, 1<<30); err != nil {
			t.Errorf("%s: %v", e.FileName, err)
		}
		name, _ := e.Target()
		got[name] = plain.Bytes()
	}
	return got
}

// tree lists every file below dir.
func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// nothingIn fails if there is anything in dir, hidden or not.
func nothingIn(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}
