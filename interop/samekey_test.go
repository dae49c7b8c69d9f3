package interop

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// A company that has apps in the field brings its key along: made by the official
// CLI, used from its file or imported into an HSM, it makes of the same bundle the
// same checksum everywhere, to the character. The bundle is one that the CLI made.
func TestSameKeySameChecksum(t *testing.T) {
	// The updater that is installed, and the newest that the legacy form is for.
	installed, err := packageVersion(filepath.Join("node_modules", "@capgo", "capacitor-updater"))
	if err != nil {
		t.Fatalf("found no official updater (%v); %s", err, howToInstall)
	}
	home := newProject(t, installed, nil)
	private, public := home.createKey(t)
	key := keySource{uri: "file:" + home.path(private), public: parsePublic(t, home.read(t, public))}

	token := softhsmtest.New(t)
	token.ImportKey("imported", parsePrivate(t, home.read(t, private)))
	inFile := startDaemon(t, key)
	inToken := startDaemon(t, keySource{uri: token.URI("imported"), public: key.public})

	for format, updater := range map[capgo.ChecksumFormat]string{
		capgo.FormatHex:    installed,
		capgo.FormatLegacy: updaterOf[capgo.FormatLegacy],
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, updater, key.public)
			p.write(t, private, home.read(t, private))
			digest := p.zip(t, "app.zip")
			plain := p.read(t, "app.zip")
			if sum := fmt.Sprintf("%x", sha256.Sum256(plain)); digest != sum {
				t.Errorf("bundle zip says the bundle's checksum is %s, but its SHA-256 is %s", digest, sum)
			}
			want := p.encrypt(t, "app.zip", digest, private).Checksum
			for name, d := range map[string]*daemon{"file": inFile, "pkcs11": inToken} {
				s := d.sign(t, p, "app.zip", "1.0.0-"+string(format), format)
				if s.Checksum != want {
					t.Errorf("%s: the checksum is %s, the official CLI's is %s", name, s.Checksum, want)
				}
				got, err := p.decrypt(t, s)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if !bytes.Equal(got, plain) {
					t.Errorf("%s: the official CLI decrypted it to something else", name)
				}
			}
		})
	}
}
