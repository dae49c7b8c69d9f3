package pkcs11

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/signer"
)

// confirm gives the child the PIN for a key that wants it for each use
// (CKA_ALWAYS_AUTHENTICATE). It is the PIN that the token took when this child logged
// in, and no other: each use of such a key is an attempt. That is why these
// attempts are not written down one by one; a child that dies in one of them is
// followed by one that logs in, which is.
func (m *Module) confirm(ctx context.Context, p *process) error {
	s, err := m.pin.read(ctx)
	if err != nil {
		return err
	}
	defer s.clear()
	if s == nil {
		return fmt.Errorf("%w: pkcs11 %s: the key wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE): put the PIN in a file and add pin-source= to the URI, or make a key without", signer.ErrKeyUnusable, m.name)
	}
	if m.took(p) == [32]byte{} {
		return fmt.Errorf("%w: pkcs11 %s: the key wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE), but somebody else had logged in to the token, so nothing shows that the PIN in %s is right, and each use with a wrong one brings the token nearer to locking: have nobody else log in to the token, or make a key without", signer.ErrKeyUnusable, m.name, m.cfg.PIN)
	}
	if m.pin.hash(s.value) != m.took(p) {
		// The new PIN is first tried in a login, by another child.
		changed := errors.New("the PIN was changed where it is read from")
		p.end(changed)
		return &goneError{changed}
	}
	body, err := proto.Encode(proto.Confirm{PIN: s.value})
	if err != nil {
		return err
	}
	defer clear(body)
	_, err = p.ask(ctx, proto.OpConfirm, body, m.openTimeout())
	return err
}

// refusedConfirm takes note that the token did not take, for the use of a key, the
// PIN that it had taken at login.
func (m *Module) refusedConfirm(p *process, cause error) {
	m.log.Error("the pkcs11 token took the PIN at login and refused it for the use of a key; it is not tried again until it is changed where it is read from, or its record is cleared", zap.Error(cause))
	p.end(cause)
	ctx, cancel := context.WithTimeout(m.ctx, m.openTimeout())
	defer cancel()
	s, err := m.pin.read(ctx)
	if err != nil || s == nil {
		return
	}
	defer s.clear()
	if m.pin.hash(s.value) != m.took(p) {
		return
	}
	if err := m.records.Refuse(ctx, m.try(p, s, false)); err != nil {
		m.log.Error("that could not be recorded", zap.Error(err))
	}
}

// took returns the hash of the PIN that the token took when the child logged in.
func (m *Module) took(p *process) [32]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return p.tookPIN
}

func (m *Module) setTook(p *process, hash [32]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.tookPIN = hash
}
