package child

import (
	"errors"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// try makes the error of a module's function one that says which it was.
func try(call string, err error) error {
	if err == nil {
		return nil
	}
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return &proto.Fault{Kind: proto.KindCall, Call: call, Detail: err.Error()}
	}
	return &proto.Fault{Kind: proto.KindCall, Call: call, Code: ckr.Code(code)}
}

// codeOf returns the return value that an error came from, if it came from one.
func codeOf(err error) (ckr.Code, bool) {
	var fault *proto.Fault
	if errors.As(err, &fault) && fault.Kind == proto.KindCall {
		return fault.Code, true
	}
	return ckr.OK, false
}

// classOf returns what to do about an error: 0 if it is no return value of the
// module's and there is nothing to do here.
func classOf(err error) ckr.Class {
	if code, ok := codeOf(err); ok {
		return code.Class()
	}
	return 0
}

// again calls f once more if the way that it failed calls for that.
func again(f func() error) error {
	err := f()
	if classOf(err) == ckr.Retry {
		err = f()
	}
	return err
}

func isCode(err error, want ckr.Code) bool {
	code, ok := codeOf(err)
	return ok && code == want
}
