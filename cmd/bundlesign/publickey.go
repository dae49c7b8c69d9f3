package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// maxConfig is the largest file of text that is read whole, in bytes.
const maxConfig = 16 << 20

// keyFlags name the public key of an app.
type keyFlags struct {
	pem       string // --public-key
	capacitor string // --capacitor-config
}

func (f *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pem, "public-key", "", "the app's public key, a PEM `file`")
	cmd.Flags().StringVar(&f.capacitor, "capacitor-config", "", "the app's capacitor.config `file` (.json, .ts or .js), which has the public key")
	cmd.MarkFlagsMutuallyExclusive("public-key", "capacitor-config")
}

// load returns the key, or nil if neither flag was given.
func (f *keyFlags) load() (*capgo.PublicKey, error) {
	switch {
	case f.pem != "" && f.capacitor != "":
		return nil, &inputError{err: errors.New("found both --public-key and --capacitor-config, want one")}
	case f.pem != "":
		data, err := readArgument(f.pem)
		if err != nil {
			return nil, err
		}
		key, err := capgo.ParsePublicKeyPEM(data)
		if err != nil {
			return nil, &inputError{err: fmt.Errorf("public key %s: %w", f.pem, err)}
		}
		return key, nil
	case f.capacitor != "":
		return keyOfApp(f.capacitor)
	}
	return nil, nil
}

// keyOfApp reads plugins.CapacitorUpdater.publicKey of a capacitor.config.json, .ts
// or .js. A program is not run: the key must stand in it as a literal.
func keyOfApp(name string) (*capgo.PublicKey, error) {
	config, err := capconfig.Read(name)
	if err == nil {
		err = config.Doubt(capconfig.FieldPublicKey)
	}
	if err != nil {
		hint := ""
		if errors.As(err, new(*capconfig.UnclearError)) {
			hint = "npx cap sync writes what the app carries, e.g. to android/app/src/main/assets/capacitor.config.json: name that file"
		}
		return nil, &inputError{err: err, hint: hint}
	}
	if config.PublicKey == "" {
		return nil, &inputError{
			err:  fmt.Errorf("capacitor config %s: found no plugins.CapacitorUpdater.publicKey", name),
			hint: "bundlesign keys install NAME puts it there",
		}
	}
	key, err := capgo.ParsePublicKeyPEM([]byte(config.PublicKey))
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("capacitor config %s: plugins.CapacitorUpdater.publicKey: %w", name, err)}
	}
	return key, nil
}

// readFile reads a regular file that is small.
func readFile(name string) ([]byte, error) { return readOpened(name, infile.Open) }

// readArgument reads a small file that a flag names, which may be a shell's <(...).
func readArgument(name string) ([]byte, error) { return readOpened(name, infile.OpenArgument) }

func readOpened(name string, open func(string) (*os.File, error)) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, &inputError{err: err}
	}
	defer f.Close()
	return readAll(name, f)
}

func readAll(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("reading %s: %w", name, err)}
	}
	if len(data) > maxConfig {
		return nil, &inputError{err: fmt.Errorf("%s has more than %d bytes, that cannot be right", name, maxConfig)}
	}
	return data, nil
}

const logKeyUsage = "public `key` of the audit log (origin+hash+base64), to check its checkpoint with"

// parseLogKey reads --log-key; nothing given is nil.
func parseLogKey(text string) (note.Verifier, error) {
	if text == "" {
		return nil, nil
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, &inputError{
			err:  fmt.Errorf("--log-key: %w: want name, hash and key, joined by plus signs", err),
			hint: "bundlesign status shows the daemon's; keep it where the daemon's operators cannot change it",
		}
	}
	return v, nil
}
