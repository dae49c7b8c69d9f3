package sshsig

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxKeyFile is the longest key file that is read, in bytes.
const maxKeyFile = 64 << 10

// passphraseTries is how often a passphrase is asked for.
const passphraseTries = 3

// ErrSecurityKey says that a key file is the handle of a FIDO2 key: only what talks
// to the device can sign with it, an ssh-agent or ssh-keygen.
var ErrSecurityKey = errors.New("the key is in a FIDO2 device")

// ErrPassphrase says that no passphrase that was given opens the key file.
var ErrPassphrase = errors.New("wrong passphrase")

// ReadKey reads a private key that ssh-keygen has made. For one that is encrypted
// it asks for the passphrase, three times at most, and forgets it.
func ReadKey(path string, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	data, err := readKeyFile(path, true)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	if public := publicInside(data); public != nil && strings.HasPrefix(public.Type(), "sk-") {
		return nil, ErrSecurityKey
	}
	key, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	for try := 0; errors.As(err, &locked) && try < passphraseTries; try++ {
		secret, askErr := passphrase()
		if askErr != nil {
			return nil, askErr
		}
		var wrong error
		key, wrong = ssh.ParsePrivateKeyWithPassphrase(data, secret)
		clear(secret)
		if wrong == nil {
			return key, nil
		}
		if !errors.Is(wrong, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("reading the key: %w", wrong)
		}
	}
	if errors.As(err, &locked) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("found no private key of ssh-keygen: %w", err)
	}
	return key, nil
}

// PublicKey returns the public half of the key that a file is about: of "FILE.pub"
// itself, of the one beside the private key, or of what an OpenSSH private key
// says in the clear. It is nil if there is none of them.
func PublicKey(path string) (ssh.PublicKey, error) {
	if !strings.HasSuffix(path, ".pub") {
		if data, err := readKeyFile(path, true); err == nil {
			defer clear(data)
			if public := publicInside(data); public != nil {
				return public, nil
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		path += ".pub"
	}
	data, err := readKeyFile(path, false)
	if err != nil {
		return nil, err
	}
	public, _, _, rest, err := ssh.ParseAuthorizedKey(data)
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s: found no public key of ssh-keygen, want one line such as \"ssh-ed25519 AAAA... name\"", path)
	}
	return public, nil
}

// readKeyFile reads a file that is short and, if it is private, is its owner's
// alone, as ssh wants it.
func readKeyFile(path string, private bool) ([]byte, error) {
	info, err := os.Stat(path) // before opening: to open a pipe would wait for its other end
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file, want a key of ssh-keygen", path)
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o: others can read the private key; want 0600 (chmod 600)", path, mode)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s has more than %d bytes, want a key of ssh-keygen", path, maxKeyFile)
	}
	return data, nil
}

// publicInside returns the public key that an OpenSSH private key has in the clear
// (PROTOCOL.key), also if the rest is encrypted, or nil.
func publicInside(data []byte) ssh.PublicKey {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil
	}
	inner, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil
	}
	var head struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public                  []byte
		Rest                    []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(inner, &head); err != nil || head.Keys != 1 {
		return nil
	}
	public, err := ssh.ParsePublicKey(head.Public)
	if err != nil {
		return nil
	}
	return public
}
