package child

import (
	"sync"

	"github.com/miekg/pkcs11"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// confirmer holds the PIN for keys that want it for each use
// (CKA_ALWAYS_AUTHENTICATE), from the first use of such a key on. The daemon gives
// it only after the token took it at login.
//
// The PIN is kept here rather than sent with each order because each way through
// a socket leaves copies in more buffers than it is worth.
//
// Its invariant: one PIN that the token refuses is the last one. Attempts are made
// one at a time, and the PIN is forgotten with the first that is not taken.
type confirmer struct {
	mu   sync.Mutex
	page []byte // of its own, so that it can be locked and is never in a dump
	size int    // of the PIN in it; 0: none
	// refused is how the token refused a PIN. Nothing is tried after that: the
	// daemon may send the same PIN once more, for an order that failed before it
	// knew.
	refused error
}

// hold keeps a PIN.
func (c *confirmer) hold(pin []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return c.refused
	}
	if c.page == nil {
		page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		// Where memory may not be locked, the PIN can reach a swap that is not
		// encrypted; the module's own copies can anyway.
		_ = unix.Mlock(page)
		_ = unix.Madvise(page, unix.MADV_DONTDUMP)
		c.page = page
	}
	c.wipe()
	c.size = copy(c.page, pin)
	return nil
}

// wipe forgets the PIN. The caller holds mu.
func (c *confirmer) wipe() {
	clear(c.page)
	c.size = 0
}

// begin begins a signature with a key, and confirms it with the PIN if the key
// wants that.
func (t *token) begin(s *session, key privateKey, mechanism []*pkcs11.Mechanism) error {
	if !key.confirm {
		return try("C_SignInit", t.ctx.SignInit(s.handle, mechanism, key.handle))
	}
	c := &t.confirmer
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return c.refused
	}
	if c.size == 0 {
		return &proto.Fault{Kind: proto.KindKeyConfirm}
	}
	if err := t.mayConfirm(); err != nil {
		return err
	}
	if err := try("C_SignInit", t.ctx.SignInit(s.handle, mechanism, key.handle)); err != nil {
		return err
	}
	err := try("C_Login", t.ctx.Login(s.handle, pkcs11.CKU_CONTEXT_SPECIFIC, c.page[:c.size]))
	if err == nil {
		return nil
	}
	code, ok := codeOf(err)
	if ok && code.RefusesPIN() {
		c.refused = err
	}
	if c.refused != nil || !ok || code.Class() == ckr.Reload {
		c.wipe()
	}
	// The signature that was begun is still under way in the session.
	t.closeSession(s)
	return err
}

// mayConfirm looks at the token's flags, as before any attempt with a PIN.
func (t *token) mayConfirm() error {
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return try("C_GetTokenInfo", err)
	}
	if fault := loginFlags(info.Flags).Forbids(); fault != nil {
		return fault
	}
	return nil
}
