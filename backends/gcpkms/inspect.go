package gcpkms

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

const algorithm = kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048

// Inspect implements [signer.Key]. It asks the service for the public key and for
// the state of the version, anew at each call.
func (k *Key) Inspect(ctx context.Context) (*signer.Evidence, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	// The state first: the service gives no public key of a version that is not
	// enabled, and would say less about why.
	var version *kmspb.CryptoKeyVersion
	err := k.call(ctx, "reading the key version", func(ctx context.Context, c *client) (err error) {
		version, err = c.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: k.uri.Version})
		if err != nil {
			return err
		}
		return k.checkVersion(version)
	})
	if err != nil {
		return nil, err
	}
	public, err := k.readPublic(ctx, version.GetProtectionLevel())
	if err != nil {
		return nil, err
	}
	k.level.Store(int32(version.GetProtectionLevel()))
	k.random.off.Store(false)
	return &signer.Evidence{PublicKey: public, Custody: custody(version)}, nil
}

// readPublic asks for the public key of a version of this protection level.
func (k *Key) readPublic(ctx context.Context, level kmspb.ProtectionLevel) (public *capgo.PublicKey, err error) {
	err = k.call(ctx, "reading the public key", func(ctx context.Context, c *client) error {
		answer, err := c.GetPublicKey(ctx, &kmspb.GetPublicKeyRequest{Name: k.uri.Version})
		if err != nil {
			return err
		}
		public, err = k.publicKey(answer, level)
		return err
	})
	return public, err
}

// checkVersion refuses a version that cannot sign what devices accept.
func (k *Key) checkVersion(v *kmspb.CryptoKeyVersion) error {
	if err := k.same(v.GetName()); err != nil {
		return err
	}
	if got := v.GetState(); got != kmspb.CryptoKeyVersion_ENABLED {
		return &fault{kind: unusable, text: fmt.Sprintf("the key version is in state %s: %s", got, enable)}
	}
	if err := checkAlgorithm(v.GetAlgorithm()); err != nil {
		return err
	}
	return k.demand(v.GetProtectionLevel())
}

func checkAlgorithm(got kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm) error {
	if got == algorithm {
		return nil
	}
	text := fmt.Sprintf("devices do not accept this key: its algorithm is %s, want %s", got, algorithm)
	if strings.HasPrefix(got.String(), "RSA_SIGN_PKCS1_") {
		text += " (without RAW the service adds a DigestInfo, which devices refuse)"
	}
	return &fault{kind: unusable, text: text + "; the algorithm of a version cannot be changed: make or import a new key with the right one"}
}

func (k *Key) publicKey(answer *kmspb.PublicKey, level kmspb.ProtectionLevel) (*capgo.PublicKey, error) {
	if err := intact("the public key", []byte(answer.GetPem()), answer.GetPemCrc32C()); err != nil {
		return nil, err
	}
	if err := k.same(answer.GetName()); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(answer.GetAlgorithm()); err != nil {
		return nil, err
	}
	if got := answer.GetProtectionLevel(); got != level {
		return nil, &fault{kind: unusable, text: fmt.Sprintf("the key version has protection level %s, its public key says %s", level, got)}
	}
	public, err := parsePublicKey(answer.GetPem())
	if err != nil {
		return nil, &fault{kind: unusable, text: fmt.Sprintf("devices do not accept this key: %v", err)}
	}
	return public, nil
}

// parsePublicKey reads the one PKIX block that the service sends (RFC 7468,
// section 13).
func parsePublicKey(text string) (*capgo.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("the service did not send one PEM block PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the service sent a public key that cannot be parsed")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, want an RSA key", parsed)
	}
	return capgo.NewPublicKey(key)
}
