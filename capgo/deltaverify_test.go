package capgo_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/capgo"
)

const noLimit = 1 << 40

// deltaFile is what a phone gets of one file of a delta update.
type deltaFile struct {
	stored     []byte
	entry      capgo.ManifestEntry
	sessionKey string
}

// sealFile does what daemon and client do together. Plain is what is signed,
// packed is what is encrypted.
func (k testKey) sealFile(t testing.TB, name string, plain, packed []byte, format capgo.ChecksumFormat) deltaFile {
	t.Helper()
	wrapped, key := k.wrap(t)
	var out bytes.Buffer
	if _, err := capgo.Encrypt(&out, bytes.NewReader(packed), key, wrapped.IV); err != nil {
		t.Fatal(err)
	}
	hash := k.sign(t, checksum(t, sha256.Sum256(plain), format)).Checksum(format)
	return deltaFile{out.Bytes(), capgo.ManifestEntry{FileName: name, FileHash: hash, DownloadURL: "files/0"}, wrapped.String()}
}

func (f deltaFile) verify(k testKey, plain io.Writer, limit int64) (*capgo.Verified, error) {
	return capgo.VerifyFile(k.public, bytes.NewReader(f.stored), f.entry, f.sessionKey, plain, limit)
}

func compress(t testing.TB, plain []byte, quality, window int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: quality, LGWin: window})
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestVerifyFile(t *testing.T) {
	plain := []byte(strings.Repeat("console.log('hello');\n", 40_000))
	for _, test := range []struct {
		what, name string
		packed     []byte
	}{
		{"as it is", "assets/app.js", plain},
		{"compressed", "assets/app.js.br", compress(t, plain, 5, 20)},
		{"wrapped as by old tools", "assets/app.js.br", bytes.Join([][]byte{{0x1B, 0, 6}, plain, {3}}, nil)},
		{"wrapped in their other way", "assets/app.js.br", bytes.Join([][]byte{{0x0B, 2, 0x80}, plain, {3}}, nil)},
	} {
		for _, format := range []capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy} {
			t.Run(test.what+" "+string(format), func(t *testing.T) {
				f := ownKey().sealFile(t, test.name, plain, test.packed, format)
				var out bytes.Buffer
				got, err := f.verify(ownKey(), &out, int64(len(plain)))
				if err != nil {
					t.Fatal(err)
				}
				want := &capgo.Verified{Digest: sha256.Sum256(plain), Size: int64(len(plain)), Format: format}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("verified (-want +got):\n%s", diff)
				}
				if !bytes.Equal(out.Bytes(), plain) {
					t.Error("the plain file came out changed")
				}
				if _, err := f.verify(ownKey(), nil, noLimit); err != nil {
					t.Errorf("with nowhere to write to: %v", err)
				}
			})
		}
	}
}

func TestVerifyFileRefuses(t *testing.T) {
	plain := []byte(strings.Repeat("body { color: red }\n", 1000))
	small := compress(t, plain, 9, 16)
	const hex = capgo.FormatHex
	good := ownKey().sealFile(t, "a.css.br", plain, small, hex)
	for _, test := range []struct {
		what  string
		file  func() deltaFile
		limit int64
		check capgo.Check
		says  string
	}{
		{"a name that leaves the app", func() deltaFile {
			f := good
			f.entry.FileName = "../a.css.br"
			return f
		}, noLimit, capgo.CheckFileName, `".."`},
		{"a hash that nobody signed", func() deltaFile {
			f := good
			f.entry.FileHash = capgo.Digest(sha256.Sum256(plain)).String()
			return f
		}, noLimit, capgo.CheckSignature, "unsigned"},
		{"a hash by another key", func() deltaFile {
			f := good
			f.entry.FileHash = otherKey().sealFile(t, "a", plain, plain, hex).entry.FileHash
			return f
		}, noLimit, capgo.CheckSignature, "another key"},
		{"a session key as a hash", func() deltaFile {
			f := good
			f.entry.FileHash = ownKey().sign(t, capgo.SessionKeyPayload()).Checksum(hex)
			return f
		}, noLimit, capgo.CheckSignature, "16 bytes inside"},
		{"no session key", func() deltaFile {
			f := good
			f.sessionKey = ""
			return f
		}, noLimit, capgo.CheckSessionKey, "colon"},
		{"a session key by another key", func() deltaFile {
			f := good
			f.sessionKey = otherKey().sealFile(t, "a", plain, plain, hex).sessionKey
			return f
		}, noLimit, capgo.CheckSessionKey, "another key"},
		{"a file that was cut", func() deltaFile {
			f := good
			f.stored = f.stored[:len(f.stored)-1]
			return f
		}, noLimit, capgo.CheckDecrypt, "cut short"},
		{"nothing at all", func() deltaFile {
			f := good
			f.stored = nil
			return f
		}, noLimit, capgo.CheckDecrypt, "empty"},
		{"a plain file that is called compressed", func() deltaFile {
			return ownKey().sealFile(t, "a.css.br", plain, plain, hex)
		}, noLimit, capgo.CheckBrotli, "RFC 7932"},
		{"half of a compressed file", func() deltaFile {
			return ownKey().sealFile(t, "a.css.br", plain, small[:len(small)/2], hex)
		}, noLimit, capgo.CheckBrotli, "too early"},
		{"more than a compressed file", func() deltaFile {
			return ownKey().sealFile(t, "a.css.br", plain, append(bytes.Clone(small), 0), hex)
		}, noLimit, capgo.CheckBrotli, "excessive"},
		{"a compressed file that is called plain", func() deltaFile {
			f := good
			f.entry.FileName = "a.css"
			return f
		}, noLimit, capgo.CheckDigest, "not what was signed"},
		{"another file that was signed", func() deltaFile {
			f := good
			f.entry.FileHash = ownKey().sealFile(t, "a", []byte("other"), plain, hex).entry.FileHash
			return f
		}, noLimit, capgo.CheckDigest, "not what was signed"},
		{"a large file", func() deltaFile {
			return ownKey().sealFile(t, "a.css", plain, plain, hex)
		}, int64(len(plain)) - 1, capgo.CheckSize, "larger"},
		{"a bomb", func() deltaFile {
			zeros := make([]byte, 4<<20)
			return ownKey().sealFile(t, "a.css.br", zeros, compress(t, zeros, 1, 22), hex)
		}, 1 << 16, capgo.CheckSize, "larger"},
		{"a wrapping that is too long to hold", func() deltaFile {
			packed := make([]byte, 8<<20+1)
			copy(packed, []byte{0x1B, 0, 6})
			return ownKey().sealFile(t, "a.css.br", plain, packed, hex)
		}, noLimit, capgo.CheckBrotli, "more than 8388608 bytes"},
	} {
		t.Run(test.what, func(t *testing.T) {
			out := &counted{}
			got, err := test.file().verify(ownKey(), out, test.limit)
			var failed *capgo.CheckError
			if !errors.As(err, &failed) || failed.Check != test.check || !strings.Contains(err.Error(), test.says) {
				t.Errorf("found %v and %v, want check %q and %q", got, err, test.check, test.says)
			}
			if out.n > test.limit {
				t.Errorf("%d bytes were written, more than %d", out.n, test.limit)
			}
		})
	}
}

// A file of another update is refused because it cannot be decrypted; only if its
// last byte happens to look like padding is it found out later.
func TestVerifyFileOfAnotherUpdate(t *testing.T) {
	plain := []byte(strings.Repeat("body { color: red }\n", 1000))
	small := compress(t, plain, 9, 16)
	found := make(map[capgo.Check]int)
	for range 16 {
		f := ownKey().sealFile(t, "a.css.br", plain, small, capgo.FormatHex)
		f.stored = ownKey().sealFile(t, "a.css.br", plain, small, capgo.FormatHex).stored
		_, err := f.verify(ownKey(), nil, noLimit)
		var failed *capgo.CheckError
		if !errors.As(err, &failed) {
			t.Fatalf("found %v, want a *CheckError", err)
		}
		found[failed.Check]++
	}
	if found[capgo.CheckDecrypt] == 0 || found[capgo.CheckDecrypt]+found[capgo.CheckBrotli]+found[capgo.CheckDigest] != 16 {
		t.Errorf("found %v, want nearly all to be %q", found, capgo.CheckDecrypt)
	}
}

type counted struct{ n int64 }

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// A disk that is full or a download that broke off says nothing about a file.
func TestVerifyFileErrorsFromOutside(t *testing.T) {
	plain := []byte(strings.Repeat("body { color: red }\n", 100_000))
	broken := errors.New("broken")
	for name, packed := range map[string][]byte{"a.css": plain, "a.css.br": compress(t, plain, 1, 22)} {
		f := ownKey().sealFile(t, name, plain, packed, capgo.FormatHex)
		for what, run := range map[string]func() error{
			"source": func() error {
				src := io.MultiReader(bytes.NewReader(f.stored[:len(f.stored)/2]), iotest.ErrReader(broken))
				_, err := capgo.VerifyFile(ownKey().public, src, f.entry, f.sessionKey, nil, noLimit)
				return err
			},
			"target": func() error {
				_, err := f.verify(ownKey(), brokenWriter{broken}, noLimit)
				return err
			},
		} {
			err := run()
			var failed *capgo.CheckError
			if !errors.Is(err, broken) || errors.As(err, &failed) {
				t.Errorf("%s, %s: found %v, want the error of the %s itself", name, what, err, what)
			}
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// Whatever is stored, and however, comes back; and with one bit of anything
// flipped, either nothing comes or the very bytes that were signed. (A bit of
// Brotli may mean nothing: the window is larger than the file needs.)
func TestVerifyFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOfN(rapid.ByteRange('a', 'd'), 1, 3000).Draw(r, "plain")
		format := rapid.SampledFrom([]capgo.ChecksumFormat{capgo.FormatHex, capgo.FormatLegacy}).Draw(r, "format")
		name, packed := "dir/file", plain
		if rapid.Bool().Draw(r, "brotli") {
			packed = compress(t, plain, rapid.IntRange(0, 11).Draw(r, "quality"), rapid.IntRange(10, 21).Draw(r, "window"))
			name += ".br"
		}
		f := ownKey().sealFile(t, name, plain, packed, format)
		var out bytes.Buffer
		if _, err := f.verify(ownKey(), &out, int64(len(plain))); err != nil || !bytes.Equal(out.Bytes(), plain) {
			r.Fatalf("did not come back: %v", err)
		}
		part := rapid.SampledFrom([]string{"stored", "hash", "iv", "wrapped"}).Draw(r, "part")
		bit := rapid.IntRange(0, 1<<30)
		switch part {
		case "stored":
			f.stored = flip(f.stored, bit.Draw(r, "bit")%(8*len(f.stored)))
		case "hash":
			sig, _, err := capgo.ParseChecksum(f.entry.FileHash)
			if err != nil {
				r.Fatal(err)
			}
			f.entry.FileHash = capgo.Signature(flip(sig[:], bit.Draw(r, "bit")%2048)).Checksum(format)
		default:
			w, err := capgo.ParseWrappedKey(f.sessionKey)
			if err != nil {
				r.Fatal(err)
			}
			if part == "iv" {
				w.IV = capgo.IV(flip(w.IV[:], bit.Draw(r, "bit")%128))
			} else {
				w.Wrapped = capgo.Signature(flip(w.Wrapped[:], bit.Draw(r, "bit")%2048))
			}
			f.sessionKey = w.String()
		}
		out.Reset()
		_, err := f.verify(ownKey(), &out, noLimit)
		var failed *capgo.CheckError
		switch {
		case err == nil && (name == "dir/file" || part == "hash" || part == "wrapped"):
			r.Fatalf("a flipped bit of the %s was not seen", part)
		case err == nil && !bytes.Equal(out.Bytes(), plain):
			r.Fatalf("a flipped bit of the %s changed the file and was not seen", part)
		case err != nil && !errors.As(err, &failed):
			r.Fatalf("found %v, want a *CheckError", err)
		}
	})
}

func FuzzVerifyFile(f *testing.F) {
	plain := []byte(strings.Repeat("signed ", 20))
	for _, d := range []deltaFile{
		ownKey().sealFile(f, "a", plain, plain, capgo.FormatHex),
		ownKey().sealFile(f, "a.br", plain, compress(f, plain, 9, 10), capgo.FormatLegacy),
	} {
		f.Add(d.stored, d.entry.FileName, d.entry.FileHash, d.sessionKey)
	}
	f.Add([]byte{}, "", "", ":")
	f.Fuzz(func(t *testing.T, stored []byte, name, hash, sessionKey string) {
		var out bytes.Buffer
		d := deltaFile{stored, capgo.ManifestEntry{FileName: name, FileHash: hash}, sessionKey}
		_, err := d.verify(ownKey(), &out, 1<<20)
		if out.Len() > 1<<20 {
			t.Errorf("wrote %d bytes", out.Len())
		}
		if err == nil {
			if !bytes.Equal(out.Bytes(), plain) {
				t.Errorf("verified a file that nobody signed: %x", out.Bytes())
			}
			return
		}
		var failed *capgo.CheckError
		if !errors.As(err, &failed) {
			t.Errorf("%v, want a *CheckError: nothing else can go wrong here", err)
		}
	})
}
