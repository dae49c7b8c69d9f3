package file_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/file"
)

func TestReadPrivate(t *testing.T) {
	key := generate(t, 2048)
	path := write(t, pkcs1(key))
	private, public, err := file.ReadPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	if !private.Equal(key) || !public.RSA().Equal(&key.PublicKey) {
		t.Error("another key than that of the file")
	}
	d := private.D.Bits()
	p := private.Primes[0].Bits()
	file.Forget(private)
	for _, n := range slices.Concat(d, p) {
		if n != 0 {
			t.Fatal("secret numbers are still there")
		}
	}
	for name, c := range map[string]struct {
		data []byte
		mode os.FileMode
		want string
	}{
		"readable by others": {pkcs1(key), 0o644, "chmod 0600"},
		"3072 bits":          {pkcs1(generate(t, 3072)), 0o600, "3072 bits, want 2048"},
		"not a key":          {[]byte("hello"), 0o600, "found no PEM block"},
	} {
		path := write(t, c.data)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := file.ReadPrivate(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want the path and %q", name, err, c.want)
		}
	}
}
