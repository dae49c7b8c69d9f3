package child

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// token is the one token of this process.
type token struct {
	ctx      *module
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

	anchor     anchor
	pool       pool
	mechanisms mechanisms
	confirmer  confirmer
}

// anchor is a session that is never used for anything, so that there is always
// one: a token logs out when the last one is closed. Only where the token allows no
// second session is it lent to the pool's one user.
type anchor struct {
	mu     sync.Mutex
	handle pkcs11.SessionHandle
	open   bool
}

// openToken loads the module, finds the token and opens the anchor session. On error
// the module is left as it is: the parent ends a process that could not open.
func openToken(q *proto.Open) (*token, error) {
	ctx, err := load(q.Module, q.InitArgs)
	if err != nil {
		return nil, err
	}
	t := &token{ctx: ctx}
	err = again(func() (err error) {
		t.slot, err = findSlot(ctx.Ctx, q.Token)
		return err
	})
	if err != nil {
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
	t.sessions = poolSize(q.Sessions, info.MaxSessionCount)
	t.askMechanisms()
	t.pool.fill(t.sessions, time.Now)
	if err := t.holdAnchor(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *token) opened() *proto.Opened {
	return &proto.Opened{Token: t.says, Library: t.vendor, Sessions: t.sessions}
}

// close ends everything. No call may be in the module.
func (t *token) close() {
	t.pool.drain(func(s *session) {
		if !s.lent {
			t.closeSession(s)
		}
	})
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
