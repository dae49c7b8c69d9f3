package child

import (
	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// login makes sure that this process is logged in to the token, with at most one
// attempt. It looks at the token's flags first: an attempt that could lock the PIN
// is not made.
func (t *token) login(pin []byte) error {
	t.anchor.mu.Lock()
	defer t.anchor.mu.Unlock()
	if err := t.holdAnchor(); err != nil {
		return err
	}
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return try("C_GetTokenInfo", err)
	}
	if len(pin) == 0 {
		if info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0 {
			return &proto.Fault{Kind: proto.KindPINNeeded}
		}
		t.logins.Add(1)
		return nil
	}
	if err := mayTry(info.Flags); err != nil {
		return err
	}
	err = try("C_Login", t.ctx.Login(t.anchor.handle, pkcs11.CKU_USER, string(pin)))
	if err != nil && !isCode(err, ckr.UserAlreadyLoggedIn) {
		return err
	}
	t.logins.Add(1)
	return nil
}

// mayTry reports whether the token's flags allow a try with a PIN.
func mayTry(flags uint) error {
	switch {
	case flags&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0:
		return &proto.Fault{Kind: proto.KindPINPad}
	case flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		return &proto.Fault{Kind: proto.KindPINUnset}
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return &proto.Fault{Kind: proto.KindPINLocked}
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return &proto.Fault{Kind: proto.KindPINFinalTry}
	}
	return nil
}

// holdAnchor opens the anchor session if it is not open or was lost.
func (t *token) holdAnchor() error {
	if t.anchor.open {
		if _, err := t.ctx.GetSessionInfo(t.anchor.handle); err == nil {
			return nil
		}
		t.anchor.open = false
	}
	handle, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return try("C_OpenSession", err)
	}
	t.anchor.handle, t.anchor.open = handle, true
	return nil
}
