package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
	"github.com/bundlesign/bundlesign/signer"
)

// logIn has the child log in, with at most one attempt with the PIN, which is
// written down before it is made and again when its outcome is known.
func (m *Module) logIn(p *process, s *secret) error {
	timeout := m.openTimeout()
	state := new(proto.LoginState)
	if err := p.askFor(m.ctx, proto.OpLoginState, nil, state, timeout); err != nil {
		return err
	}
	if s == nil {
		if state.Required && state.Pad {
			return m.logInOnPad(p, state)
		}
		// The child says whether the token can do without.
		_, err := p.login(m.ctx, proto.Login{}, timeout)
		return err
	}
	if fault := state.Forbids(); fault != nil {
		return fault
	}
	ctx, cancel := context.WithTimeout(m.ctx, timeout)
	defer cancel()
	attempt, err := m.records.Begin(ctx, m.try(p, s, state.CountLow))
	if err != nil {
		return m.notTried(err)
	}
	if state.CountLow {
		m.log.Warn("the pkcs11 token says that it refused a PIN since the last good login (CKF_USER_PIN_COUNT_LOW); this one is tried once")
	}
	// From here on the answer is waited for, whoever has lost patience: an attempt
	// without one may cost an operator's time.
	in, err := p.login(context.WithoutCancel(m.ctx), proto.Login{PIN: s.value}, timeout)
	m.settle(p, s, attempt, in, err)
	return err
}

// try describes an attempt for the record.
func (m *Module) try(p *process, s *secret, countLow bool) *pinrecord.Try {
	return &pinrecord.Try{
		Token:    p.identity,
		Module:   p.module,
		PIN:      s.value,
		Source:   s.state,
		CountLow: countLow,
	}
}

// settle writes down how an attempt ended.
func (m *Module) settle(p *process, s *secret, a *pinrecord.Attempt, in *proto.LoggedIn, err error) {
	var fault *proto.Fault
	var recordErr error
	switch {
	case err == nil && in.Already:
		recordErr = a.NotMade()
	case err == nil:
		m.setTook(p, m.pin.hash(s.value))
		recordErr = a.Accepted()
	case refusedPIN(err):
		m.log.Error("the pkcs11 token refused the PIN; it is not tried again until it is changed where it is read from, or its record is cleared", zap.Error(err))
		recordErr = a.Refused()
	case !errors.As(err, &fault):
		m.log.Warn("an attempt to log in to the pkcs11 token got no answer; whether the PIN was right is not known", zap.Error(err))
		a.NoAnswer()
	case fault.Call != "C_Login" || leavesPINAlone(fault.Code):
		recordErr = a.NotMade()
	default:
		recordErr = a.Unclear()
	}
	if recordErr != nil {
		m.log.Error("the outcome of an attempt to log in to the pkcs11 token could not be recorded", zap.Error(recordErr))
	}
}

// leavesPINAlone reports whether an answer to a login says that the token did not
// look at the PIN. Of all that is not listed nobody knows: a link to an HSM can
// break, and memory run out, after it looked as well as before.
func leavesPINAlone(c ckr.Code) bool {
	return slices.Contains([]ckr.Code{
		ckr.ArgumentsBad, ckr.FunctionUnsupported, ckr.OperationActive, ckr.SessionClosed, ckr.SessionHandleInvalid,
		ckr.SessionReadOnlyExists, ckr.UserPINNotInitialized, ckr.UserTypeInvalid, ckr.UserAnotherLoggedIn,
		ckr.UserTooManyTypes, ckr.NotInitialized,
	}, c)
}

// login asks the child to log in.
func (p *process) login(ctx context.Context, q proto.Login, timeout time.Duration) (*proto.LoggedIn, error) {
	body, err := proto.Encode(q)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	in := new(proto.LoggedIn)
	return in, p.askFor(ctx, proto.OpLogin, body, in, timeout)
}

// notTried explains why a PIN was not tried.
func (m *Module) notTried(err error) error {
	var blocked *pinrecord.BlockedError
	if !errors.As(err, &blocked) {
		return fmt.Errorf("%w: pkcs11 %s: %w", signer.ErrUnavailable, m.name, err)
	}
	clearIt := "restart the daemon"
	if m.cfg.PINRecords != "" {
		clearIt = "run: bundlesignd pin clear " + blocked.ID
	}
	var text string
	switch blocked.Why {
	case pinrecord.Refused:
		text = fmt.Sprintf("the token refused the PIN in %s, and it is not tried again, since a token locks after a few wrong ones; put the right PIN there and it is used at once, or, if the token's PIN is this one by now, %s", m.cfg.PIN, clearIt)
	case pinrecord.Unknown:
		text = fmt.Sprintf("an attempt with the PIN in %s got no answer, so the token may have refused it, and it is not tried again, since a token locks after a few wrong ones; put another PIN there, or make sure that it is right and %s", m.cfg.PIN, clearIt)
	default:
		text = fmt.Sprintf("%v, so no PIN is tried; find out why, then %s", blocked, clearIt)
	}
	return fmt.Errorf("%w: pkcs11 %s: %s", signer.ErrKeyUnusable, m.name, text)
}
