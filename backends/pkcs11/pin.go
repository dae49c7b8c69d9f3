package pkcs11

import (
	"bytes"
	"context"
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

// pin reads the token's PIN anew for each login, and knows the newest one well
// enough to strike it out of what a module says.
type pin struct {
	source uri.PINSource
	dir    string // of credentials

	salt   [32]byte
	mu     sync.Mutex
	newest string
}

// secret is a PIN as it was read. Whoever has it clears it after use.
type secret struct {
	value []byte
	// state is that of the file that it was read from, if the same file can be
	// there after a restart, or "".
	state string
}

func (s *secret) clear() {
	if s != nil {
		clear(s.value)
	}
}

func newPIN(source uri.PINSource, credentialsDir string) *pin {
	p := &pin{source: source, dir: credentialsDir}
	rand.Read(p.salt[:])
	return p
}

// read returns the PIN, or nil if none is configured.
func (p *pin) read(ctx context.Context) (*secret, error) {
	if p.source.IsZero() {
		return nil, nil
	}
	s, err := p.fetch(ctx)
	if err != nil {
		return nil, err
	}
	s.value = bytes.TrimSuffix(bytes.TrimSuffix(s.value, []byte("\n")), []byte("\r"))
	if n := len(s.value); n == 0 || n > maxPIN || bytes.ContainsAny(s.value, "\x00\r\n") {
		s.clear()
		return nil, fmt.Errorf("%w: pkcs11: %s does not hold a PIN: want one line of 1 to %d bytes", signer.ErrKeyUnusable, p.source, maxPIN)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = string(s.value)
	return s, nil
}

// fetch returns what is in the source.
func (p *pin) fetch(ctx context.Context) (*secret, error) {
	if p.source.Command != "" {
		value, err := runPINCommand(ctx, p.source.Command, p.dir)
		if err != nil {
			return nil, err
		}
		return &secret{value: value}, nil
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	data, id, err := secretfile.Read(path, secretfile.Rule{Max: maxPIN + 2, GroupRead: true})
	if errors.Is(err, secretfile.ErrRefused) {
		return nil, fmt.Errorf("%w: pkcs11: the file with the PIN: %w", signer.ErrKeyUnusable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: pkcs11: reading the file with the PIN: %w", signer.ErrUnavailable, err)
	}
	s := &secret{value: data}
	if p.source.Credential == "" {
		s.state = id.String()
	}
	return s, nil
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

// hash tells PINs from one another in memory.
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
