package file

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Maker makes a private key in a file that is not there yet.
type Maker struct{ path string }

// NewMaker returns the maker of a key in the file at an absolute path.
func NewMaker(path string) *Maker { return &Maker{path} }

// Plan implements backends.KeyMaker.
func (m *Maker) Plan(_ context.Context, importing bool) ([]string, error) {
	if importing {
		return nil, errImport
	}
	if _, err := os.Lstat(m.path); err == nil {
		return nil, fmt.Errorf("there is something at %s already, and a key is never overwritten: choose another name", m.path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for %s: %w", m.path, err)
	}
	if _, err := os.Stat(filepath.Dir(m.path)); err != nil {
		return nil, fmt.Errorf("looking for the folder of the key: %w", err)
	}
	return []string{
		fmt.Sprintf("A new RSA-2048 key is drawn and written to the file %s, readable by uid %d alone.", m.path, os.Geteuid()),
		"The file is not encrypted: whoever can read it can sign, unseen. Its custody is software, which is for development.",
	}, nil
}

// Create implements backends.KeyMaker.
func (m *Maker) Create(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("file: no key was made: %w", err)
	}
	if _, err := Create(m.path); err != nil {
		return "", err
	}
	return URI(m.path), nil
}

// Import implements backends.KeyMaker. It always refuses.
func (m *Maker) Import(context.Context, *rsa.PrivateKey) (string, error) { return "", errImport }

// Close implements backends.KeyMaker.
func (m *Maker) Close() error { return nil }

var errImport = errors.New(`file: a key is not imported into a file, it is in one already: name that in the configuration ("uri: file:/PATH"), or import it into an HSM, Vault or Cloud KMS, where it is safer`)
