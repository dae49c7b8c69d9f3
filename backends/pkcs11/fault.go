package pkcs11

import (
	"context"
	"errors"
	"fmt"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/signer"
)

var errClosed = fmt.Errorf("%w: pkcs11: the key was closed", signer.ErrKeyUnusable)

// explain makes an error of a call one that the contract of [signer.Key] speaks of
// and that tells an operator what to do. Name is of the key or the token.
func (m *Module) explain(name string, err error) error {
	if errors.Is(err, signer.ErrKeyUnusable) || errors.Is(err, signer.ErrUnavailable) {
		return err
	}
	var fault *proto.Fault
	var hung *hungError
	var gone *goneError
	switch {
	case errors.As(err, &gone):
		return fmt.Errorf("%w: pkcs11 %s: %w", signer.ErrUnavailable, name, gone.cause)
	case errors.As(err, &hung):
		return fmt.Errorf("%w: pkcs11 %s: the module gave %w; its process was killed and the next use starts a new one", signer.ErrUnavailable, name, hung)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("pkcs11 %s: waiting for the module: %w", name, err)
	case errors.As(err, &fault):
		kind, text := m.meaning(fault)
		return fmt.Errorf("%w: pkcs11 %s: %s", kind, name, text)
	}
	return fmt.Errorf("%w: pkcs11 %s: %w", signer.ErrUnavailable, name, err)
}

// meaning returns which of the errors of [signer.Key] a fault is, and what to say.
func (m *Module) meaning(f *proto.Fault) (kind error, text string) {
	unusable, unavailable := signer.ErrKeyUnusable, signer.ErrUnavailable
	switch f.Kind {
	case proto.KindCall:
		return m.meaningOfCall(f)
	case proto.KindModuleMissing:
		return unavailable, "there is no such module: install the vendor's package, or correct module-path"
	case proto.KindModuleBad:
		return unusable, "the module cannot be loaded: " + f.Detail
	case proto.KindTokenMissing:
		if f.Count == 0 {
			return unavailable, "the module shows no token at all: connect the HSM, or check the module's own configuration"
		}
		return unavailable, "no such token; the module shows " + list(f.Found)
	case proto.KindTokenAmbiguous:
		return unusable, fmt.Sprintf("%d tokens match (%s), exactly one must: add serial= to the URI", f.Count, list(f.Found))
	case proto.KindTokenSessions:
		return unusable, fmt.Sprintf("the token allows %d session at a time, want at least 2", f.Count)
	case proto.KindMechanism:
		return unusable, "the token does not sign with CKM_RSA_PKCS (raw PKCS#1 v1.5), which this format needs; some do not in a FIPS mode"
	case proto.KindPINNeeded:
		return unusable, "the token wants a login: put the PIN in a file and add pin-source= to the URI"
	case proto.KindPINPad:
		return unusable, "the token's PIN can only be typed on its own keypad, which a daemon cannot do"
	case proto.KindPINUnset:
		return unusable, "the token's user PIN was never set: initialize it with the vendor's tool"
	case proto.KindPINFinalTry:
		return unusable, "the token would lock its PIN after one more wrong try, so none is made: log in once with the vendor's tool, which resets the count"
	case proto.KindPINLocked:
		return unusable, "the token has locked its PIN: unlock it with the vendor's tool and the security officer's PIN"
	case proto.KindKeyMissing:
		return unusable, "the token has no such private key: check object= and id=, and that the key was made in this token"
	case proto.KindKeyAmbiguous:
		return unusable, "more than one private key matches, exactly one must: give both object= and id=, or rename one"
	case proto.KindKeyUnfit:
		return unusable, "devices do not accept this key: " + f.Detail
	case proto.KindKeyConfirm:
		return unusable, "the key wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE), which is not supported: make one without"
	}
	return unavailable, "the module's process could not do it: " + f.Detail
}

func (m *Module) meaningOfCall(f *proto.Fault) (kind error, text string) {
	if refusedPIN(f) {
		return signer.ErrKeyUnusable, fmt.Sprintf("the token refused the PIN in %s: %s. It is not tried again until the file changes", m.cfg.PIN, f.Code)
	}
	switch f.Code.Class() {
	case ckr.FatalKey:
		return signer.ErrKeyUnusable, fmt.Sprintf("%s refused the key: %s", f.Call, f.Code)
	case ckr.FatalToken:
		return signer.ErrKeyUnusable, fmt.Sprintf("%s failed for this token: %s", f.Call, f.Code)
	}
	return signer.ErrUnavailable, fmt.Sprintf("%s failed: %s", f.Call, f.Code)
}

// refusedPIN reports whether the token did not take the PIN.
func refusedPIN(err error) bool {
	var f *proto.Fault
	return errors.As(err, &f) && f.Kind == proto.KindCall && (f.Code == ckr.PINIncorrect || f.Code == ckr.PINInvalid || f.Code == ckr.PINLenRange)
}
