package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	_ "crypto/sha256" // for RSA-OAEP
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/bundlesign/bundlesign/backends/internal/keywrap"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// parcel is a private key on its way into the token. It is packed here, in the
// daemon's process, and only unpacked by the token: the vendor's module, in the
// child, sees nothing but what is encrypted.
type parcel struct {
	der    []byte // PKCS#8
	kek    []byte // the AES key that it is encrypted with
	public *capgo.PublicKey
	key    proto.NewKey
}

// Import implements backends.KeyMaker. The key is unwrapped twice: first as an object
// that is gone with its session, so that nothing durable is made in a token that
// cannot do it or makes something else of it.
//
// The key pair that protects the way is the token's by the module's word: a module
// that lies about it gets the key. Whoever does not believe a module that much
// should not give the token a key.
func (k *Maker) Import(ctx context.Context, private *rsa.PrivateKey) (string, error) {
	if !k.gate.Enter() {
		return "", errClosed
	}
	defer k.gate.Leave()
	der, err := keywrap.PKCS8(private)
	if err != nil {
		return "", fmt.Errorf("pkcs11 %s: %w", k.name, err)
	}
	defer clear(der)
	public, err := capgo.NewPublicKey(&private.PublicKey)
	if err != nil {
		return "", err
	}
	id := k.uri.ID
	if id == "" {
		sum := sha1.Sum(private.N.Bytes())
		id = string(sum[:])
	}
	p, found, err := k.survey(ctx, proto.RSA2048, id, true)
	if err != nil {
		return "", err
	}
	var wrapping proto.Wrapping
	err = k.ask(k.module.ctx, p, proto.OpWrapping, max(k.timeout, makeTimeout), proto.BeginImport{}, &wrapping)
	if isKind(err, proto.KindBusy) {
		return "", k.explain(err)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = k.send(ctx, p, &wrapping, found.Ways, &parcel{der: der, public: public, key: k.newKey(proto.RSA2048, id)})
	}
	return k.settle(p, id, err)
}

// send has the token unwrap the key, and keeps nothing that is not that key.
func (k *Maker) send(ctx context.Context, p *process, wrapping *proto.Wrapping, ways []proto.Way, c *parcel) error {
	to, err := k.rsaPublic("the key pair that protects the key on its way", wrapping.Modulus, wrapping.Exponent)
	if err != nil {
		return err
	}
	c.kek = keywrap.NewKEK()
	defer clear(c.kek)
	if err := k.sendKEK(p, to.RSA(), c.kek); err != nil {
		return err
	}
	way, err := k.rehearse(p, ways, c)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	made, err := k.unwrap(p, way, c, true)
	if err != nil {
		return err
	}
	if err := k.sameKey(p, made, c); err != nil {
		return err
	}
	k.note(p, made)
	_, err = k.tryRSA(ctx, string(c.key.ID), c.public)
	return err
}

// sendKEK has the token unwrap the AES key, with the better hash if it can.
func (k *Maker) sendKEK(p *process, to *rsa.PublicKey, kek []byte) error {
	var refusals []string
	for _, h := range []struct {
		name proto.Hash
		hash crypto.Hash
	}{{proto.SHA256, crypto.SHA256}, {proto.SHA1, crypto.SHA1}} {
		wrapped, err := keywrap.EncryptKEK(to, h.hash, kek)
		if err != nil {
			return err
		}
		err = k.ask(k.module.ctx, p, proto.OpUnwrapKEK, k.timeout, proto.UnwrapKEK{Hash: h.name, Wrapped: wrapped}, nil)
		if refusal, ok := refused(err); ok {
			refusals = append(refusals, fmt.Sprintf("CKM_RSA_PKCS_OAEP with %s: %s", h.name, refusal))
			continue
		}
		return err
	}
	return k.cannotUnwrap(strings.Join(refusals, "; "))
}

// rehearse returns the first way in which the token unwraps the key. Nothing is kept.
func (k *Maker) rehearse(p *process, ways []proto.Way, c *parcel) (proto.Way, error) {
	var refusals []string
	for _, way := range ways {
		made, err := k.unwrap(p, way, c, false)
		if refusal, ok := refused(err); ok {
			refusals = append(refusals, fmt.Sprintf("%s: %s", p.show(string(way)), refusal))
			continue
		}
		if err == nil {
			err = k.sameKey(p, made, c)
		}
		return way, err
	}
	return "", k.cannotUnwrap(strings.Join(refusals, "; "))
}

// refused returns the token's reason for not doing something, and whether it gave
// one: an error that says nothing of what the token can do is none.
func refused(err error) (string, bool) {
	var fault *proto.Fault
	if !errors.As(err, &fault) || fault.Kind != proto.KindCall {
		return "", false
	}
	const (
		hostMemory             ckr.Code = 0x02
		deviceError            ckr.Code = 0x30
		deviceMemory           ckr.Code = 0x31
		deviceRemoved          ckr.Code = 0x32
		sessionClosed          ckr.Code = 0xB0
		sessionHandleInvalid   ckr.Code = 0xB3
		tokenNotRecognized     ckr.Code = 0xE1
		cryptokiNotInitialized ckr.Code = 0x190
	)
	switch fault.Code {
	case hostMemory, deviceError, deviceMemory, deviceRemoved, sessionClosed, sessionHandleInvalid,
		ckr.TokenNotPresent, tokenNotRecognized, ckr.UserNotLoggedIn, cryptokiNotInitialized:
		return "", false
	}
	return fault.Error(), true
}

// unwrap has the token unwrap the key.
func (k *Maker) unwrap(p *process, way proto.Way, c *parcel, durable bool) (*proto.Made, error) {
	q := proto.UnwrapKey{
		Way:      way,
		Key:      c.key,
		Durable:  durable,
		Modulus:  c.public.RSA().N.Bytes(),
		Exponent: big.NewInt(capgo.KeyExponent).Bytes(),
	}
	var err error
	switch way {
	case proto.WayKWP, proto.WayPad:
		q.Wrapped, err = keywrap.WrapKWP(c.kek, c.der)
	case proto.WayPKCS7:
		q.Wrapped, err = keywrap.WrapPKCS7(c.kek, c.der)
	case proto.WayCBC:
		q.IV, q.Wrapped, err = encryptCBC(c.kek, c.der)
	default:
		return nil, p.broke(errors.New("it offers an unknown way to unwrap"))
	}
	if err != nil {
		return nil, err
	}
	var made proto.Made
	if err := k.ask(k.module.ctx, p, proto.OpUnwrapKey, k.timeout, q, &made); err != nil {
		return nil, err
	}
	return &made, nil
}

// sameKey checks that what was unwrapped is the key, kept as it should be.
func (k *Maker) sameKey(p *process, made *proto.Made, c *parcel) error {
	public, err := k.rsaPublic("what was unwrapped", made.Modulus, made.Exponent)
	if err != nil {
		return err
	}
	if !public.Equal(c.public) {
		return fmt.Errorf("%w: pkcs11 %s: the token unwrapped another key than was sent", signer.ErrKeyUnusable, k.name)
	}
	return k.judge(p, made, false)
}

// encryptCBC is AES-CBC with PKCS#7 padding (RFC 5652, section 6.3) and a drawn IV. It
// does not protect against changes on the way; the key is compared afterwards.
func encryptCBC(kek, plaintext []byte) (iv, ciphertext []byte, err error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, nil, err
	}
	n := aes.BlockSize - len(plaintext)%aes.BlockSize
	ciphertext = make([]byte, 0, len(plaintext)+n)
	ciphertext = append(ciphertext, plaintext...)
	ciphertext = append(ciphertext, bytes.Repeat([]byte{byte(n)}, n)...)
	iv = make([]byte, aes.BlockSize)
	rand.Read(iv)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, ciphertext)
	return iv, ciphertext, nil
}
