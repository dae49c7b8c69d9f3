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
		text, kind := m.meaning(fault)
		return fmt.Errorf("%w: pkcs11 %s: %s", kind, name, text)
	}
	return fmt.Errorf("%w: pkcs11 %s: %w", signer.ErrUnavailable, name, err)
}

// meaning returns what to say of a fault, and which of the errors of [signer.Key]
// it is.
func (m *Module) meaning(f *proto.Fault) (text string, kind error) {
	unusable, unavailable := signer.ErrKeyUnusable, signer.ErrUnavailable
	switch f.Kind {
	case proto.KindCall:
		return m.meaningOfCall(f)
	case proto.KindModuleMissing:
		return "there is no such module: install the vendor's package, or correct module-path", unavailable
	case proto.KindModuleBad:
		return "the module cannot be loaded: " + f.Detail, unusable
	case proto.KindTokenMissing:
		if f.Count == 0 {
			return "the module shows no token at all: connect the HSM, or check the module's own configuration", unavailable
		}
		return "no such token; the module shows " + list(f.Found), unavailable
	case proto.KindTokenAmbiguous:
		return fmt.Sprintf("%d tokens match (%s), exactly one must: add serial= to the URI", f.Count, list(f.Found)), unusable
	case proto.KindMechanism:
		return "the token makes the signatures that this format needs neither with CKM_RSA_PKCS (raw PKCS#1 v1.5) nor with CKM_RSA_X_509; some tokens do not in a FIPS mode: " + f.Detail, unusable
	case proto.KindPINNeeded:
		return "the token wants a login: put the PIN in a file and add pin-source= to the URI", unusable
	case proto.KindPINUnset:
		return "the token's user PIN was never set: initialize it with the vendor's tool", unusable
	case proto.KindPINFinalTry:
		return "the token would lock its PIN after one more wrong try, so none is made: log in once with the vendor's tool, which resets the count", unusable
	case proto.KindPINLocked:
		return "the token has locked its PIN: unlock it with the vendor's tool and the security officer's PIN", unusable
	case proto.KindKeyMissing:
		return "the token has no such private key: check object= and id=, and that the key was made in this token", unusable
	case proto.KindKeyAmbiguous:
		return "more than one private key matches, exactly one must: give both object= and id=, or rename one", unusable
	case proto.KindKeyUnfit:
		return "devices do not accept this key: " + f.Detail, unusable
	case proto.KindKeyConfirm:
		return "the key wants the PIN for each use (CKA_ALWAYS_AUTHENTICATE), and went on to when it was given", unusable
	}
	return "the module's process could not do it: " + f.Detail, unavailable
}

func (m *Module) meaningOfCall(f *proto.Fault) (text string, kind error) {
	if refusedPIN(f) {
		return fmt.Sprintf("the token refused the PIN in %s: %s. It is not tried again until it is changed there", m.cfg.PIN, f.Code), signer.ErrKeyUnusable
	}
	switch f.Code.Class() {
	case ckr.FatalKey:
		return fmt.Sprintf("%s refused the key: %s", f.Call, f.Code), signer.ErrKeyUnusable
	case ckr.FatalToken:
		return fmt.Sprintf("%s failed for this token: %s", f.Call, f.Code), signer.ErrKeyUnusable
	}
	return fmt.Sprintf("%s failed: %s", f.Call, f.Code), signer.ErrUnavailable
}

// refusedPIN reports whether the token did not take the PIN.
func refusedPIN(err error) bool {
	var f *proto.Fault
	return errors.As(err, &f) && f.Kind == proto.KindCall && f.Code.RefusesPIN()
}
