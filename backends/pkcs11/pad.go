package pkcs11

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/signer"
)

// DefaultPadTimeout is how long a person has to type the PIN on the token's own
// keypad (CKF_PROTECTED_AUTHENTICATION_PATH).
const DefaultPadTimeout = time.Minute

// logInOnPad has a person type the PIN on the token. It is asked for once when the
// daemon starts to use the token, and once whenever a login that was good is lost.
// If nobody answers, or the token refuses what was typed, it is not asked for again
// before the daemon is started anew: a pad that lights up again and again is
// typed into by somebody who only wants it to stop.
func (m *Module) logInOnPad(p *process, state *proto.LoginState) error {
	if fault := state.Forbids(); fault != nil {
		return fault
	}
	m.mu.Lock()
	asked := m.padAsked
	m.padAsked = true
	m.mu.Unlock()
	if asked {
		return m.padUnanswered()
	}
	m.log.Warn("type the PIN of the pkcs11 token on its keypad", zap.Duration("within", m.padTimeout()))
	_, err := p.login(m.ctx, proto.Login{Pad: true}, m.padTimeout())
	var fault *proto.Fault
	if errors.As(err, &fault) && fault.Call != "C_Login" {
		// It did not come to that: the token got lost just before.
		m.mu.Lock()
		defer m.mu.Unlock()
		m.padAsked = false
		return err
	}
	if err != nil {
		m.log.Error("the PIN was not typed on the pkcs11 token's keypad, or was refused; it is not asked for again before a restart", zap.Error(err))
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.padAsked = false
	return nil
}

// padUnanswered returns why nobody is asked again, if somebody was asked in vain.
func (m *Module) padUnanswered() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.padAsked {
		return nil
	}
	return fmt.Errorf("%w: pkcs11 %s: the PIN was asked for on the token's keypad and not given; go there and restart the daemon to be asked again", signer.ErrKeyUnusable, m.name)
}

func (m *Module) padTimeout() time.Duration {
	if m.cfg.PadTimeout > 0 {
		return m.cfg.PadTimeout
	}
	return DefaultPadTimeout
}
