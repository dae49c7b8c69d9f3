package child

import (
	"sync"
	"sync/atomic"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// token is the one token of this process.
type token struct {
	ctx      *pkcs11.Ctx
	slot     uint
	says     proto.Token // what it says of itself
	vendor   string
	sessions int
	// random is the token's generator (C_GenerateRandom), or nil if it has none.
	random func(pkcs11.SessionHandle, int) ([]byte, error)

	// logins counts successful logins. What was found before the newest one is
	// found again: a login makes private objects visible, a logout makes their
	// handles invalid.
	logins atomic.Uint64

	anchor anchor
	pool   pool
}

// anchor is a session that is never used for anything, so that there is always
// one: a token logs out when the last one is closed.
type anchor struct {
	mu     sync.Mutex
	handle pkcs11.SessionHandle
	open   bool
}

// openToken loads the module, finds the token and logs in. On error the module is
// left as it is: the parent ends a process that could not open.
func openToken(q *proto.Open) (*token, error) {
	ctx, err := load(q.Module)
	if err != nil {
		return nil, err
	}
	t := &token{ctx: ctx}
	if t.slot, err = findSlot(ctx, q.Token); err != nil {
		return nil, err
	}
	info, err := ctx.GetTokenInfo(t.slot)
	if err != nil {
		return nil, try("C_GetTokenInfo", err)
	}
	t.says = describe(t.slot, info)
	if info.Flags&pkcs11.CKF_RNG != 0 {
		t.random = ctx.GenerateRandom
	}
	if lib, err := ctx.GetInfo(); err == nil {
		t.vendor = lib.ManufacturerID + " " + lib.LibraryDescription
	}
	if t.sessions, err = poolSize(q.Sessions, info.MaxSessionCount); err != nil {
		return nil, err
	}
	if err := t.checkMechanism(); err != nil {
		return nil, err
	}
	t.pool.fill(t.sessions)
	if err := t.login(q.PIN); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *token) opened() *proto.Opened {
	return &proto.Opened{Token: t.says, Library: t.vendor, Sessions: t.sessions}
}

// checkMechanism fails if the token says that it cannot make raw PKCS#1 v1.5
// signatures. A token that does not answer is given the benefit of the doubt.
func (t *token) checkMechanism() error {
	info, err := t.ctx.GetMechanismInfo(t.slot, rsaPKCS())
	if err != nil {
		const mechanismInvalid = 0x70
		if isCode(try("C_GetMechanismInfo", err), mechanismInvalid) {
			return &proto.Fault{Kind: proto.KindMechanism}
		}
		return nil
	}
	if info.Flags&pkcs11.CKF_SIGN == 0 {
		return &proto.Fault{Kind: proto.KindMechanism}
	}
	return nil
}

// close ends everything. No call may be in the module.
func (t *token) close() {
	t.pool.drain(func(s *session) { t.closeSession(s) })
	t.anchor.mu.Lock()
	defer t.anchor.mu.Unlock()
	if t.anchor.open {
		// Logging out and closing are courtesies to the token; the process
		// ends whatever it says.
		_ = t.ctx.Logout(t.anchor.handle)
		_ = t.ctx.CloseSession(t.anchor.handle)
	}
	_ = t.ctx.Finalize()
}

func rsaPKCS() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)}
}
