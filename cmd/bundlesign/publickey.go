package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
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
	cmd.Flags().StringVar(&f.capacitor, "capacitor-config", "", "the app's capacitor.config.json `file`, which has the public key")
	cmd.MarkFlagsMutuallyExclusive("public-key", "capacitor-config")
}

// load returns the key, or nil if neither flag was given.
func (f *keyFlags) load() (*capgo.PublicKey, error) {
	switch {
	case f.pem != "":
		data, err := readFile(f.pem)
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

// keyOfApp reads plugins.CapacitorUpdater.publicKey of a capacitor.config.json.
func keyOfApp(name string) (*capgo.PublicKey, error) {
	if ext := filepath.Ext(name); ext == ".ts" || ext == ".js" || ext == ".mjs" {
		return nil, &inputError{
			err:  fmt.Errorf("capacitor config %s: found a program, want the JSON form", name),
			hint: "npx cap sync writes it, e.g. to android/app/src/main/assets/capacitor.config.json",
		}
	}
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var config struct {
		Plugins struct {
			CapacitorUpdater struct {
				PublicKey *string `json:"publicKey"`
			}
		} `json:"plugins"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, &inputError{err: fmt.Errorf("capacitor config %s: %w", name, err)}
	}
	text := config.Plugins.CapacitorUpdater.PublicKey
	if text == nil {
		return nil, &inputError{
			err:  fmt.Errorf("capacitor config %s: found no plugins.CapacitorUpdater.publicKey", name),
			hint: "bundlesign keys NAME --pem prints the key that belongs there",
		}
	}
	key, err := capgo.ParsePublicKeyPEM([]byte(*text))
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("capacitor config %s: plugins.CapacitorUpdater.publicKey: %w", name, err)}
	}
	return key, nil
}

// readFile reads a file that the user named and that is small.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
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
