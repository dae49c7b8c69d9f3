package child

import (
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/capgo"
)

// entropySize is how many bytes the token's generator adds to a session key.
const entropySize = 32

// sign makes the signatures of one order, end to end, in one session.
func (t *token) sign(q *proto.Sign) ([]byte, error) {
	out := make([]byte, 0, len(q.Payloads)*capgo.SignatureSize)
	err := t.withSession(func(s *session) error {
		// What was signed before a session failed is kept.
		for _, p := range q.Payloads[len(out)/capgo.SignatureSize:] {
			signature, err := t.signOne(s, q.Key, p)
			if err != nil {
				return err
			}
			out = append(out, signature[:]...)
		}
		return nil
	})
	return out, err
}

func (t *token) signOne(s *session, key proto.Selector, p capgo.Payload) (capgo.Signature, error) {
	if _, err := t.find(s, key); err != nil {
		return capgo.Signature{}, err
	}
	var entropy []byte
	if p.Kind() == capgo.KindSession {
		var err error
		if entropy, err = t.entropy(s); err != nil {
			return capgo.Signature{}, err
		}
	}
	material, err := p.Material(entropy)
	clear(entropy)
	if err != nil {
		return capgo.Signature{}, err
	}
	defer clear(material)
	raw, err := t.signRaw(s, key, material)
	if err != nil {
		return capgo.Signature{}, err
	}
	signature, err := capgo.NewSignature(raw)
	if err != nil {
		return capgo.Signature{}, &proto.Fault{Kind: proto.KindKeyUnfit, Detail: err.Error()}
	}
	return signature, nil
}

// entropy returns bytes of the token's generator, or none if it has none. They
// are mixed with the system's.
func (t *token) entropy(s *session) ([]byte, error) {
	if t.random == nil {
		return nil, nil
	}
	b, err := t.random(s.handle, entropySize)
	err = try("C_GenerateRandom", err)
	if isCode(err, ckr.RandomNoRNG) || isCode(err, ckr.FunctionUnsupported) {
		return nil, nil
	}
	return b, err
}
