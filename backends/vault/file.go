package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	credentialPrefix = "credential:"
	// maxSecret is far above what a token, a JWT or a private key in PEM takes.
	maxSecret = 64 << 10
)

// File is where a secret is: a path, or a systemd credential.
type File struct {
	Path       string // absolute
	Credential string
}

// IsZero reports whether no file is named.
func (f File) IsZero() bool { return f == File{} }

func (f *File) parse(value string) error {
	if name, ok := strings.CutPrefix(value, credentialPrefix); ok {
		if !isSegment(name) {
			return errors.New("does not name a systemd credential: want credential: and letters, digits, \"-\", \"_\" and \".\"")
		}
		f.Credential = name
		return nil
	}
	return absolute(&f.Path, value)
}

func absolute(dst *string, value string) error {
	if !filepath.IsAbs(value) {
		return errors.New("is not an absolute path")
	}
	*dst = filepath.Clean(value)
	return nil
}

// path returns where the file is on this machine.
func (f File) path(credentialsDir string) (string, error) {
	if f.Credential == "" {
		return f.Path, nil
	}
	if credentialsDir == "" {
		return "", fmt.Errorf("%w: vault: a secret is in the systemd credential %q, but CREDENTIALS_DIRECTORY is not set: add LoadCredentialEncrypted=%s to the unit, or name a file in the key's URI", signer.ErrKeyUnusable, f.Credential, f.Credential)
	}
	return filepath.Join(credentialsDir, f.Credential), nil
}

// read returns what is in the file, and which state of it that was.
func (f File) read(credentialsDir string) (data []byte, path string, id secretfile.ID, err error) {
	path, err = f.path(credentialsDir)
	if err != nil {
		return nil, "", secretfile.ID{}, err
	}
	// An agent that keeps a token fresh runs as a user of its own, and systemd's
	// access lists look like a group's permission.
	data, id, err = secretfile.Read(path, secretfile.Rule{Max: maxSecret, GroupRead: true})
	if errors.Is(err, secretfile.ErrRefused) {
		return nil, path, id, fmt.Errorf("%w: vault: %w", signer.ErrKeyUnusable, err)
	}
	if err != nil {
		return nil, path, id, fmt.Errorf("%w: vault: reading a secret: %w", signer.ErrUnavailable, err)
	}
	return data, path, id, nil
}

// readLine returns a secret of one line without its end.
func (f File) readLine(credentialsDir string) (string, secretfile.ID, error) {
	data, path, id, err := f.read(credentialsDir)
	if err != nil {
		return "", id, err
	}
	defer clear(data)
	line, err := oneLine(data, path)
	return line, id, err
}

// state returns which state of the file there is now.
func (f File) state(credentialsDir string) (secretfile.ID, error) {
	path, err := f.path(credentialsDir)
	if err != nil {
		return secretfile.ID{}, err
	}
	return secretfile.Stat(path)
}

// readProjected reads a service account's token as the kubelet writes it: behind
// symbolic links, which is how it is replaced in one step, and readable by all in
// the container, whose file system nobody else sees.
func (f File) readProjected(credentialsDir string) (string, error) {
	path, err := f.path(credentialsDir)
	if err != nil {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: vault: reading the service account's token: %w", signer.ErrUnavailable, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return "", fmt.Errorf("%w: vault: reading the service account's token: %w", signer.ErrUnavailable, err)
	}
	defer clear(data)
	return oneLine(data, path)
}

func oneLine(data []byte, path string) (string, error) {
	value := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(value) == 0 || bytes.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%w: vault: %s does not hold what it should: want one line of printable characters without spaces", signer.ErrKeyUnusable, path)
	}
	return string(value), nil
}
