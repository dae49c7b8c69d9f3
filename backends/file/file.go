// Package file keeps a private key in a PEM file: the backend for development,
// for trying things out, and for a company that has not yet moved its key into
// an HSM. Its custody level is always software.
//
// The file is what `npx @capgo/cli key create` writes as .capgo_key_v2 (PKCS#1),
// or PKCS#8 without a password. Its invariant is that the key used is the one
// that is in the file now, in a file that nobody else can read or change: each
// use looks whether the file is still the same one, and reads and checks it anew
// if not.
package file

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// Backend is the name of this backend in custody evidence.
const Backend = "file"

// maxFile is far above the 1.7 kB of an RSA-2048 key in PEM.
const maxFile = 64 << 10

// Key is a private key in a file.
type Key struct {
	path string
	gate gate.Gate

	mu     sync.Mutex
	loaded *loaded // what the file held when last read, or nil
}

var _ signer.Key = (*Key)(nil)

type loaded struct {
	id      secretfile.ID
	private *rsa.PrivateKey
	public  *capgo.PublicKey
}

// Open returns the key in the file at an absolute path. The file is first looked
// at when the key is used: it may not be there yet.
func Open(path string) *Key { return &Key{path: path} }

// Sign implements [signer.Key].
func (k *Key) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	key, err := k.load(false)
	if err != nil {
		return nil, err
	}
	signatures := make([]capgo.Signature, 0, len(payloads))
	for i, p := range payloads {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("file: signing stopped after %d of %d payloads: %w", i, len(payloads), err)
		}
		signature, err := sign(key.private, p)
		if err != nil {
			return nil, fmt.Errorf("file: payload %d of %d: %w", i+1, len(payloads), err)
		}
		signatures = append(signatures, signature)
	}
	return signatures, nil
}

func sign(key *rsa.PrivateKey, p capgo.Payload) (capgo.Signature, error) {
	material, err := p.Material(nil)
	if err != nil {
		return capgo.Signature{}, err
	}
	defer clear(material)
	// Hash 0 is the raw form: EMSA-PKCS1-v1_5 padding without a DigestInfo.
	raw, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), material)
	if err != nil {
		return capgo.Signature{}, err
	}
	return capgo.NewSignature(raw)
}

// Inspect implements [signer.Key]. It reads the file anew.
func (k *Key) Inspect(ctx context.Context) (*signer.Evidence, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("file: inspecting the key: %w", err)
	}
	key, err := k.load(true)
	if err != nil {
		return nil, err
	}
	return &signer.Evidence{
		PublicKey: key.public,
		Custody: signer.Custody{
			Level:   signer.Software,
			Backend: Backend,
			Evidence: map[string]string{
				"file":        k.path,
				"permissions": "readable by its owner only",
				"storage":     "unencrypted private key on disk and in the daemon's memory",
			},
		},
	}, nil
}

// Close implements [signer.Key].
func (k *Key) Close() error {
	k.gate.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loaded = nil
	return nil
}

var errClosed = fmt.Errorf("%w: file: the key was closed", signer.ErrKeyUnusable)

// load returns the key as it is in the file now.
func (k *Key) load(anew bool) (*loaded, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.loaded != nil && !anew {
		id, err := secretfile.Stat(k.path)
		if err == nil && id == k.loaded.id {
			return k.loaded, nil
		}
	}
	k.loaded = nil
	data, id, err := secretfile.Read(k.path, secretfile.Rule{Max: maxFile})
	if errors.Is(err, secretfile.ErrRefused) {
		return nil, fmt.Errorf("%w: %w", signer.ErrKeyUnusable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading the key file: %w", signer.ErrUnavailable, err)
	}
	defer clear(data)
	private, public, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", signer.ErrKeyUnusable, k.path, err)
	}
	k.loaded = &loaded{id, private, public}
	return k.loaded, nil
}
