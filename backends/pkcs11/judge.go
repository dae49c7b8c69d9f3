package pkcs11

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// judge refuses a key whose attributes, read back, are not those that were asked
// for: some tokens accept a template and do as they like. What a token does not
// answer for is let pass only if it is no more than a second look at the same
// thing. Created: the token made the key itself.
func (k *Maker) judge(p *process, made *proto.Made, created bool) error {
	var wrong []string
	demand := func(name string, want, mustBeKnown bool) {
		value, known := made.Attributes[name]
		switch {
		case known && value != want:
			wrong = append(wrong, fmt.Sprintf("%s is %t", name, value))
		case !known && mustBeKnown:
			wrong = append(wrong, name+" cannot be read")
		}
	}
	demand("CKA_SENSITIVE", true, true)
	demand("CKA_EXTRACTABLE", false, true)
	demand("CKA_PRIVATE", true, false)
	demand("CKA_SIGN", true, false)
	for _, more := range []string{"CKA_SIGN_RECOVER", "CKA_DECRYPT", "CKA_UNWRAP", "CKA_DERIVE"} {
		demand(more, false, false)
	}
	if created {
		demand("CKA_TOKEN", true, false)
		demand("CKA_ALWAYS_SENSITIVE", true, false)
		demand("CKA_NEVER_EXTRACTABLE", true, false)
		// Not CKA_LOCAL: NSS 3.87 denies it of its own keys. It only costs the key a
		// level of custody.
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: pkcs11 %s: the token took the order for a key that is sensitive, not extractable and can only sign, and made another: %s", signer.ErrKeyUnusable, k.name, join(wrong))
	}
	return nil
}

// note logs what the token did not take of the order for a key that is kept.
func (k *Maker) note(p *process, made *proto.Made) {
	modifiable, known := made.Attributes["CKA_MODIFIABLE"]
	if len(made.Refused) == 0 && known && !modifiable && made.NoPublic == "" {
		return
	}
	refused := make([]string, 0, maxFound)
	for _, name := range made.Refused[:min(len(made.Refused), maxFound)] {
		refused = append(refused, p.show(name))
	}
	k.module.log.Warn("pkcs11: the token did not take everything that was asked for with a new key; what counts was read back and is right",
		zap.String("key", k.name), zap.Strings("attributes_refused", refused),
		zap.Bool("modifiable_known", known), zap.Bool("modifiable", modifiable), zap.String("no_public_key_object", p.show(made.NoPublic)))
}

func join(parts []string) string {
	text := parts[0]
	for _, part := range parts[1:] {
		text += ", " + part
	}
	return text
}

// rsaPublic reads a public key that the child shows, big-endian. All RSA keys here, those
// that protect a key on its way too, are RSA-2048 with exponent 65537.
func (k *Maker) rsaPublic(what string, modulus, exponent []byte) (*capgo.PublicKey, error) {
	if len(modulus) > 2*capgo.SignatureSize || len(exponent) > 4 {
		return nil, fmt.Errorf("%w: pkcs11 %s: %s has numbers that are too long", signer.ErrKeyUnusable, k.name, what)
	}
	public, err := capgo.NewPublicKey(&rsa.PublicKey{
		N: new(big.Int).SetBytes(modulus),
		E: int(new(big.Int).SetBytes(exponent).Int64()),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: pkcs11 %s: %s is not what was asked for: %w", signer.ErrKeyUnusable, k.name, what, err)
	}
	return public, nil
}

// checkRSA looks at a new key in the way in which it will be used, and tries it.
func (k *Maker) checkRSA(ctx context.Context, id string, made *proto.Made) error {
	public, err := k.rsaPublic("the new key", made.Modulus, made.Exponent)
	if err != nil {
		return err
	}
	custody, err := k.tryRSA(ctx, id, public)
	if err != nil {
		return err
	}
	if custody.Level != signer.NeverExtractable {
		k.module.log.Warn("pkcs11: the token made a key, but does not show all that would prove it",
			zap.String("key", k.name), zap.String("custody", string(custody.Level)), zap.Any("evidence", custody.Evidence))
	}
	return nil
}

// tryRSA finds a key as any user of it will, makes a signature with it, and returns how
// well it is kept.
func (k *Maker) tryRSA(ctx context.Context, id string, public *capgo.PublicKey) (signer.Custody, error) {
	key := k.module.Key(KeyOptions{Object: k.uri.Object, ID: id, Timeout: k.timeout, MaxSessions: 1})
	evidence, err := key.Inspect(ctx)
	if err != nil {
		return signer.Custody{}, fmt.Errorf("looking at the new key: %w", err)
	}
	if !evidence.PublicKey.Equal(public) {
		return signer.Custody{}, fmt.Errorf("%w: pkcs11 %s: another public key is found under the new key's label and id", signer.ErrKeyUnusable, k.name)
	}
	payload := capgo.SessionKeyPayload()
	signatures, err := key.Sign(ctx, []capgo.Payload{payload})
	if err != nil {
		return signer.Custody{}, fmt.Errorf("trying the new key: %w", err)
	}
	if len(signatures) != 1 || public.Verify(payload, signatures[0]) != nil {
		return signer.Custody{}, fmt.Errorf("%w: pkcs11 %s: the new key made a wrong signature", signer.ErrKeyUnusable, k.name)
	}
	if evidence.Custody.Level.Rank() < signer.NonExtractable.Rank() {
		return signer.Custody{}, fmt.Errorf("%w: pkcs11 %s: the new key's custody is %q, want at least %q", signer.ErrKeyUnusable, k.name, evidence.Custody.Level, signer.NonExtractable)
	}
	return evidence.Custody, nil
}

// checkEd25519 is checkRSA for the log's key. What is signed is a checkpoint of no log.
func (k *Maker) checkEd25519(ctx context.Context, id string, made *proto.Made) error {
	key := k.module.LogKey(KeyOptions{Object: k.uri.Object, ID: id, Timeout: k.timeout, MaxSessions: 1})
	public, err := key.PublicKey(ctx)
	if err != nil {
		return fmt.Errorf("looking at the new key: %w", err)
	}
	if !public.Equal(ed25519.PublicKey(made.Point)) {
		return fmt.Errorf("%w: pkcs11 %s: another public key is found under the new key's label and id", signer.ErrKeyUnusable, k.name)
	}
	text, err := audit.NewCheckpointText("bundlesign.invalid/test-of-a-new-key", tlog.Tree{})
	if err != nil {
		return err
	}
	signature, err := key.SignCheckpoint(ctx, text)
	if err != nil {
		return fmt.Errorf("trying the new key: %w", err)
	}
	if !ed25519.Verify(public, text.Bytes(), signature) {
		return errors.Join(signer.ErrKeyUnusable, fmt.Errorf("pkcs11 %s: the new key made a wrong signature", k.name))
	}
	return nil
}
