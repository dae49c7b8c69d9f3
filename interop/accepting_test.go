package interop

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// What the official CLI encrypts with a key in a file, bundlesign accepts; and
// says what is wrong with it, once something is.
func TestWeAcceptOfficialCLIs(t *testing.T) {
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, updaterOf[format], nil)
			key, public := p.createKey(t) // puts the public key into capacitor.config.json, too
			digest := p.zip(t, "app.zip")
			s := p.encrypt(t, "app.zip", digest, key)
			p.writeJSON(t, "result.json", s)

			for _, source := range [][]string{{"--capacitor-config", "capacitor.config.json"}, {"--public-key", public}} {
				args := append([]string{"verify", "--result", "result.json", "--output", "plain.zip", "--expect-digest", digest}, source...)
				if out, code := bundlesign(t, p.dir, args...); code != 0 {
					t.Fatalf("bundlesign verify %s ended with code %d:\n%s", source, code, out)
				}
				if !bytes.Equal(p.read(t, "plain.zip"), p.read(t, "app.zip")) {
					t.Error("bundlesign decrypted it to something else")
				}
			}
			for _, test := range []struct {
				name  string
				spoil func(*sealed)
				check capgo.Check
			}{
				{"bundle", func(s *sealed) {
					p.write(t, "spoiled.zip", flip(p.read(t, s.Filename), 8*100))
					s.Filename = "spoiled.zip"
				}, capgo.CheckDigest},
				{"checksum", func(s *sealed) {
					sig, f := parseChecksum(t, s.Checksum)
					s.Checksum = capgo.Signature(flip(sig[:], 8*200)).Checksum(f)
				}, capgo.CheckSignature},
				{"session key", func(s *sealed) {
					w := parseWrapped(t, s.IVSessionKey)
					w.Wrapped = capgo.Signature(flip(w.Wrapped[:], 8*200))
					s.IVSessionKey = w.String()
				}, capgo.CheckSessionKey},
			} {
				t.Run("not with a flipped bit of the "+test.name, func(t *testing.T) {
					spoiled := s
					test.spoil(&spoiled)
					p.writeJSON(t, "spoiled.json", spoiled)
					out, code := bundlesign(t, p.dir, "verify", "--result", "spoiled.json", "--public-key", public)
					if code != exitUntrusted || !failedCheck(out, test.check) {
						t.Errorf("bundlesign verify ended with code %d, want %d and the check %q named:\n%s", code, exitUntrusted, test.check, out)
					}
				})
			}
		})
	}
}

// failedCheck reports whether verify printed that this check failed.
func failedCheck(out string, check capgo.Check) bool {
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == string(check) && f[1] == "FAILED" {
			return true
		}
	}
	return false
}

// What both print as JSON starts the same, so that a script can take either.
func TestSameJSON(t *testing.T) {
	d := startDaemon(t, keyInFile(t))
	p := newProject(t, updaterOf[capgo.FormatHex], d.public)
	p.write(t, "app.zip", randomBundle(t))
	out, code := d.bundlesign(t, p.dir, "sign", "app.zip", "--app", appID, "--channel", "production", "--version", "1.0.0", "--json")
	if code != 0 {
		t.Fatalf("bundlesign sign ended with code %d:\n%s", code, out)
	}
	var members []string
	decoder := json.NewDecoder(strings.NewReader(out))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, name.(string))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(members, " "), "checksum filename ivSessionKey "; !strings.HasPrefix(got, want) {
		t.Errorf("bundlesign sign --json has the members %q, want those of the official CLI first: %q", got, want)
	}
}
