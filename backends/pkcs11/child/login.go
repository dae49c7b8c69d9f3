package child

import (
	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// loginState says what the token's flags say about logging in. It reaches for the
// token first: some modules open sessions and know flags without it, and a token
// that is out of reach is better found out without a PIN under way.
func (t *token) loginState() (*proto.LoginState, error) {
	t.anchor.mu.Lock()
	defer t.anchor.mu.Unlock()
	if err := t.holdAnchor(); err != nil {
		return nil, err
	}
	if t.random != nil {
		_, err := t.random(t.anchor.handle, 1)
		if err := try("C_GenerateRandom", err); classOf(err) == ckr.Reload {
			return nil, err
		}
	}
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return nil, try("C_GetTokenInfo", err)
	}
	return loginFlags(info.Flags), nil
}

func loginFlags(flags uint) *proto.LoginState {
	is := func(flag uint) bool { return flags&flag != 0 }
	return &proto.LoginState{
		Required: is(pkcs11.CKF_LOGIN_REQUIRED),
		Pad:      is(pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH),
		Unset:    !is(pkcs11.CKF_USER_PIN_INITIALIZED),
		CountLow: is(pkcs11.CKF_USER_PIN_COUNT_LOW),
		FinalTry: is(pkcs11.CKF_USER_PIN_FINAL_TRY),
		Locked:   is(pkcs11.CKF_USER_PIN_LOCKED),
	}
}

// login makes sure that this process is logged in to the token, with at most one
// attempt. It looks at the token's flags first: an attempt that could lock the PIN
// is not made.
func (t *token) login(q *proto.Login) (*proto.LoggedIn, error) {
	t.anchor.mu.Lock()
	defer t.anchor.mu.Unlock()
	if err := t.holdAnchor(); err != nil {
		return nil, err
	}
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return nil, try("C_GetTokenInfo", err)
	}
	state := loginFlags(info.Flags)
	if len(q.PIN) == 0 && !q.Pad {
		if state.Required {
			return nil, &proto.Fault{Kind: proto.KindPINNeeded}
		}
		t.logins.Add(1)
		return &proto.LoggedIn{}, nil
	}
	if fault := state.Forbids(); fault != nil {
		return nil, fault
	}
	err = try("C_Login", t.ctx.Login(t.anchor.handle, pkcs11.CKU_USER, q.PIN))
	already := isCode(err, ckr.UserAlreadyLoggedIn)
	if err != nil && !already {
		return nil, err
	}
	t.logins.Add(1)
	return &proto.LoggedIn{Already: already}, nil
}

// holdAnchor opens the anchor session if it is not open or was lost.
func (t *token) holdAnchor() error {
	if t.anchor.open {
		if _, err := t.ctx.GetSessionInfo(t.anchor.handle); err == nil {
			return nil
		}
		t.anchor.open = false
	}
	return again(func() error {
		handle, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			return try("C_OpenSession", err)
		}
		t.anchor.handle, t.anchor.open = handle, true
		return nil
	})
}
