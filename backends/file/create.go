package file

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bundlesign/bundlesign/capgo"
)

// Create draws a new RSA-2048 key and writes it to a new file at path, as PKCS#1
// PEM with permissions 0600. It never overwrites: if there is anything at path,
// it fails with an error that wraps [fs.ErrExist]. When it returns without an
// error the file survives the loss of power; when it returns one it has left no
// file behind.
func Create(path string) (*capgo.PublicKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		return nil, fmt.Errorf("drawing an RSA key: %w", err)
	}
	public, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	der := x509.MarshalPKCS1PrivateKey(key)
	defer clear(der)
	// The buffer never grows, so that no copy is left behind uncleared.
	buf := bytes.NewBuffer(make([]byte, 0, 2*len(der)))
	defer func() { clear(buf.Bytes()[:buf.Cap()]) }()
	if err := pem.Encode(buf, &pem.Block{Type: pkcs1Type, Bytes: der}); err != nil {
		return nil, err
	}
	if err := writeNew(path, buf.Bytes()); err != nil {
		return nil, err
	}
	return public, nil
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating a key file: there is something at %s already, and a key is never overwritten: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("creating a key file: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("creating a key file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// syncDir makes the new name in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
