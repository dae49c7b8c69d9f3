package pkcs11

import (
	"context"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/signer"
)

// look asks what the token would need for a key, and what stands in its way. It
// returns the child that answered. Unlike a making, it is repeated where that
// helps, so that a making begins with a token that was just there.
func (k *Maker) look(ctx context.Context, kind proto.KeyType, id string) (*process, *proto.Surveyed, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, k.explain(err) // not even a child is started
	}
	var from *process
	var found proto.Surveyed
	err := k.module.do(ctx, func(p *process) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, from = proto.Surveyed{}, p
		return k.ask(ctx, p, proto.OpSurvey, k.timeout, proto.Survey{Type: kind, Label: []byte(k.uri.Object), ID: []byte(id)}, &found)
	})
	if err != nil {
		return nil, nil, k.explain(err)
	}
	return from, &found, nil
}

// survey fails with what stands in the way of a new key.
func (k *Maker) survey(ctx context.Context, kind proto.KeyType, id string, importing bool) (*process, *proto.Surveyed, error) {
	if k.uri.Object == "" {
		return nil, nil, fmt.Errorf("pkcs11 %s: a new key needs a label: add object= to the URI", k.name)
	}
	p, found, err := k.look(ctx, kind, id)
	if err == nil {
		err = k.obstacle(kind, found, importing)
	}
	if err != nil {
		return nil, nil, err
	}
	return p, found, nil
}

func (k *Maker) obstacle(kind proto.KeyType, found *proto.Surveyed, importing bool) error {
	const leftover = "if an interrupted attempt has left it behind, remove it with the vendor's tool, or use it as it is: \"bundlesignd key show\" says what it is"
	switch {
	case found.SameLabel > 0:
		return fmt.Errorf("pkcs11 %s: the token has a key with the label %q already, and exactly one must match: choose another label; %s", k.name, k.uri.Object, leftover)
	case found.SameID > 0 && importing && k.uri.ID == "":
		return fmt.Errorf("pkcs11 %s: the token has a key with the id that this one's modulus gives already, so it is probably in the token under another label: use that one; %s", k.name, leftover)
	case found.SameID > 0:
		return fmt.Errorf("pkcs11 %s: the token has a key with this id already, and exactly one must match: choose another id, or leave it out of the URI and one is drawn; %s", k.name, leftover)
	case found.WriteProtected:
		return fmt.Errorf("%w: pkcs11 %s: the token is write-protected (CKF_WRITE_PROTECTED): no key can be made in it", signer.ErrKeyUnusable, k.name)
	case !found.Generates && kind == proto.Ed25519:
		return fmt.Errorf("%w: pkcs11 %s: the token does not make Ed25519 keys (CKM_EC_EDWARDS_KEY_PAIR_GEN): keep the log's key elsewhere", signer.ErrKeyUnusable, k.name)
	case !found.Generates && importing:
		return k.cannotUnwrap("it cannot make the RSA key pair that protects the key on its way (CKM_RSA_PKCS_KEY_PAIR_GEN)")
	case !found.Generates:
		return fmt.Errorf("%w: pkcs11 %s: the token does not make RSA keys itself (CKM_RSA_PKCS_KEY_PAIR_GEN): use the vendor's tool", signer.ErrKeyUnusable, k.name)
	case importing && !found.OAEP:
		return k.cannotUnwrap("it cannot unwrap with CKM_RSA_PKCS_OAEP")
	case importing && len(found.Ways) == 0:
		return k.cannotUnwrap("it cannot unwrap with CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD or CKM_AES_CBC_PAD")
	}
	return nil
}

// cannotUnwrap refuses an import. There would be another way, C_CreateObject, but
// that hands the key to the vendor's module in the clear.
func (k *Maker) cannotUnwrap(why string) error {
	return fmt.Errorf("%w: pkcs11 %s: the token does not take a private key in encrypted form: %s, and a key is not given to the module in the clear; import it with the vendor's own tool, offline", signer.ErrKeyUnusable, k.name, why)
}

// Plan implements backends.KeyMaker.
func (k *Maker) Plan(ctx context.Context, importing bool) ([]string, error) {
	return k.plan(ctx, proto.RSA2048, importing)
}

// PlanLogKey is to CreateLogKey what Plan is to Create.
func (k *Maker) PlanLogKey(ctx context.Context) ([]string, error) {
	return k.plan(ctx, proto.Ed25519, false)
}

func (k *Maker) plan(ctx context.Context, kind proto.KeyType, importing bool) ([]string, error) {
	if !k.gate.Enter() {
		return nil, errClosed
	}
	defer k.gate.Leave()
	p, found, err := k.survey(ctx, kind, k.uri.ID, importing)
	if err != nil {
		return nil, err
	}
	token := p.opened.Token
	id := fmt.Sprintf("the id %X", k.uri.ID)
	switch {
	case k.uri.ID == "" && importing:
		id = "the SHA-1 of its modulus as its id"
	case k.uri.ID == "":
		id = "an id drawn for it"
	}
	said := []string{
		fmt.Sprintf("The key comes to live in the token labelled \"%s\" (serial \"%s\", model \"%s\", by \"%s\"), behind the module %q.", token.Label, token.Serial, token.Model, token.Manufacturer, k.module.cfg.module()),
		fmt.Sprintf("It gets the label %q and %s; no other key in the token has them.", k.uri.Object, id),
	}
	switch {
	case importing:
		said = append(said,
			fmt.Sprintf("The private key is encrypted here, with AES-256 and RSA-OAEP for a key pair that the token makes for this import alone, and unwrapped in the token with %s: it does not cross the module's interface in the clear.", ways(found.Ways)),
			"On the token it is RSA-2048, sensitive and not extractable, and it can sign and nothing else; since it was outside once, its custody is non-extractable and not never-extractable.",
			"Every copy of the private key outside the token stays as good as it is: destroy them once the imported key has been checked.",
		)
	case kind == proto.Ed25519:
		said = append(said, "The token makes an Ed25519 key, sensitive and never extractable, that can sign and nothing else.")
	default:
		said = append(said, "The token makes an RSA-2048 key with exponent 65537, sensitive and never extractable, that can sign and nothing else.")
	}
	return append(said, "Nobody can take the key out of the token again: a backup, if the vendor offers one, is made with the vendor's tool, and so is the key's removal."), nil
}

func ways(found []proto.Way) string {
	text := string(found[0])
	for _, way := range found[1:] {
		text += ", or else " + string(way)
	}
	return text
}

// explainMaking is explain for faults that only new keys and the log's key have.
func (m *Module) explainMaking(name string, err error) error {
	var fault *proto.Fault
	if !errors.As(err, &fault) {
		return m.explain(name, err)
	}
	text, kind := "", signer.ErrKeyUnusable
	switch fault.Kind {
	case proto.KindBusy:
		text, kind = "another key is being made in this token: try again when that is done", signer.ErrUnavailable
	case proto.KindNotMaking:
		text, kind = "the module's process has lost the place where the key was being made", signer.ErrUnavailable
	case proto.KindLeft:
		text = fmt.Sprintf("%d objects could not be removed: %s", fault.Count, fault.Detail)
	case proto.KindNoEdDSA:
		text = "the token does not sign with CKM_EDDSA (Ed25519), which the log needs: keep the log's key elsewhere"
	case proto.KindLogKeyUnfit:
		text = "the log's key is Ed25519 and nothing else: " + fault.Detail
	default:
		return m.explain(name, err)
	}
	return fmt.Errorf("%w: pkcs11 %s: %s", kind, name, text)
}
