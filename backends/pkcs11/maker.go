package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/backends/internal/gate"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
)

// makeTimeout is the least that making a key pair may take: a small token thinks
// for a minute about two primes.
const makeTimeout = 2 * time.Minute

// idSize is the length in bytes of a CKA_ID that is drawn here.
const idSize = 20

// Maker makes one new private key in a module's token. It keeps the contract of
// backends.KeyMaker.
//
// Nothing is half done. A key is made under a label and an id that no key in the
// token has, is read back and tried, and is taken back if it is not what it should
// be. If the process dies in between, what it leaves behind stands in the way of
// the next attempt, which says so. While the token is at work, the end of a
// context is waited out: what would come of it must be known.
type Maker struct {
	module  *Module
	uri     uri.URI
	name    string // for messages
	timeout time.Duration
	gate    gate.Gate
}

// Maker returns a maker of the key that u names, in the module's token, which must
// be the token of u. The key needs a label (object=); without an id= it is given
// one. Timeout is how long the module may take for one step, other than making a
// key pair, before it counts as hung; 0 means [DefaultTimeout].
func (m *Module) Maker(u *uri.URI, timeout time.Duration) *Maker {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Maker{
		module:  m,
		uri:     *u,
		name:    uri.KeyName(u.Object, u.ID) + " in " + m.name,
		timeout: timeout,
	}
}

// Close implements backends.KeyMaker. It waits for a key that is being made.
func (k *Maker) Close() error {
	k.gate.Close()
	return nil
}

// Create implements backends.KeyMaker.
func (k *Maker) Create(ctx context.Context) (string, error) {
	return k.create(ctx, proto.RSA2048, k.checkRSA)
}

// CreateLogKey has the token make an Ed25519 key for the audit log, as Create makes
// one for payloads, and returns its URI.
func (k *Maker) CreateLogKey(ctx context.Context) (string, error) {
	return k.create(ctx, proto.Ed25519, k.checkEd25519)
}

// create has the token make a key of a kind, and keeps it if check finds it as it
// should be.
func (k *Maker) create(ctx context.Context, kind proto.KeyType, check func(context.Context, string, *proto.Made) error) (string, error) {
	if !k.gate.Enter() {
		return "", errClosed
	}
	defer k.gate.Leave()
	id := k.uri.ID
	if id == "" {
		id = string(drawID())
	}
	p, _, err := k.survey(ctx, kind, id, false)
	if err != nil {
		return "", err
	}
	var made proto.Made
	err = k.ask(k.module.ctx, p, proto.OpGenerate, max(k.timeout, makeTimeout), k.newKey(kind, id), &made)
	if isKind(err, proto.KindBusy) {
		return "", k.explain(err)
	}
	if err == nil {
		err = k.judge(p, &made, true)
	}
	if err == nil {
		k.note(p, &made)
		err = check(ctx, id, &made)
	}
	return k.settle(p, id, err)
}

func drawID() []byte {
	id := make([]byte, idSize)
	rand.Read(id) // never fails
	return id
}

func (k *Maker) newKey(kind proto.KeyType, id string) proto.NewKey {
	return proto.NewKey{Type: kind, Label: []byte(k.uri.Object), ID: []byte(id)}
}

// settle ends the making. If that failed with err, what was made is taken back.
func (k *Maker) settle(p *process, id string, err error) (string, error) {
	settleErr := k.ask(k.module.ctx, p, proto.OpSettle, k.timeout, proto.Settle{Keep: err == nil}, nil)
	if err == nil {
		if settleErr != nil {
			// The key is there, and was tried; only a session was not closed.
			k.module.log.Warn("pkcs11: a key was made, but the making not ended in good order")
		}
		made := k.uri
		made.ID = id
		return made.String(), nil
	}
	err = k.explain(err)
	if settleErr == nil {
		return "", fmt.Errorf("%w (nothing of it is left in the token)", err)
	}
	return "", fmt.Errorf("%w (%s)", err, k.remains(id))
}

// remains says what a making that was cut off has left in the token.
func (k *Maker) remains(id string) string {
	ctx, cancel := context.WithTimeout(k.module.ctx, k.timeout)
	defer cancel()
	_, found, err := k.look(ctx, proto.RSA2048, id)
	object := uri.KeyName(k.uri.Object, id)
	switch {
	case err != nil:
		return "whether a key was made is not known: look for " + object + " with the vendor's tool before the next attempt, and remove it"
	case found.SameID > 0:
		return "it is in the token all the same, untried: remove " + object + " with the vendor's tool before the next attempt"
	}
	return "nothing of it is left in the token"
}

// ask asks the child one question. It is not repeated. The steps of a making are asked
// under the module's own context: what comes of them must be known.
func (k *Maker) ask(ctx context.Context, p *process, op proto.Op, timeout time.Duration, question, answer any) error {
	body, err := proto.Encode(question)
	if err != nil {
		return err
	}
	got, err := p.ask(ctx, op, body, timeout)
	if err != nil || answer == nil {
		return err
	}
	if err := proto.Decode(got, answer); err != nil {
		return p.broke(err)
	}
	return nil
}

// explain makes an error of a call one for people.
func (k *Maker) explain(err error) error {
	return k.module.explainMaking(k.name, err)
}

func isKind(err error, kind proto.Kind) bool {
	var fault *proto.Fault
	return errors.As(err, &fault) && fault.Kind == kind
}
