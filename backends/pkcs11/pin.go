package pkcs11

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/signer"
)

// maxPIN is the longest PIN in bytes; tokens allow less.
const maxPIN = 255

// pin reads the token's PIN anew for each login, remembers which one the token
// refused, and knows the newest one well enough to strike it out of what a module
// says.
type pin struct {
	source uri.PINSource
	dir    string // of credentials

	mu      sync.Mutex
	salt    [32]byte
	refused map[[32]byte]bool // salted hashes: tokens lock after a few tries
	newest  string
}

func newPIN(source uri.PINSource, credentialsDir string) *pin {
	p := &pin{source: source, dir: credentialsDir, refused: map[[32]byte]bool{}}
	rand.Read(p.salt[:])
	return p
}

// read returns the PIN, or nil if none is configured. It fails if the token has
// refused this PIN before. The caller clears it after use.
func (p *pin) read() ([]byte, error) {
	if p.source.IsZero() {
		return nil, nil
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	data, _, err := secretfile.Read(path, secretfile.Rule{Max: maxPIN + 2, GroupRead: true})
	if errors.Is(err, secretfile.ErrRefused) {
		return nil, fmt.Errorf("%w: pkcs11: the file with the PIN: %w", signer.ErrKeyUnusable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: pkcs11: reading the file with the PIN: %w", signer.ErrUnavailable, err)
	}
	value := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if n := len(value); n == 0 || n > maxPIN || bytes.ContainsAny(value, "\x00\r\n") {
		clear(data)
		return nil, fmt.Errorf("%w: pkcs11: %s does not hold a PIN: want one line of 1 to %d bytes", signer.ErrKeyUnusable, path, maxPIN)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused[p.hash(value)] {
		clear(data)
		return nil, fmt.Errorf("%w: pkcs11: the token refused the PIN in %s, and it is not tried again, since a token locks after a few wrong ones; write the right PIN to the file and it is used at once", signer.ErrKeyUnusable, path)
	}
	p.newest = string(value)
	return value, nil
}

func (p *pin) path() (string, error) {
	if p.source.Credential == "" {
		return p.source.Path, nil
	}
	if p.dir == "" {
		return "", fmt.Errorf("%w: pkcs11: the PIN is in the systemd credential %q, but CREDENTIALS_DIRECTORY is not set: add LoadCredentialEncrypted=%s to the unit", signer.ErrKeyUnusable, p.source.Credential, p.source.Credential)
	}
	return filepath.Join(p.dir, p.source.Credential), nil
}

// refuse remembers that the token did not take this PIN.
func (p *pin) refuse(value []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[p.hash(value)] = true
}

func (p *pin) hash(value []byte) [32]byte {
	h := sha256.New()
	h.Write(p.salt[:])
	h.Write(value)
	return [32]byte(h.Sum(nil))
}

// strike replaces the newest PIN wherever it is in s.
func (p *pin) strike(s string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == "" {
		return s
	}
	return strings.ReplaceAll(s, p.newest, "[PIN]")
}
