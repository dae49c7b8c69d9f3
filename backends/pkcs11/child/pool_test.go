package child

import (
	"sync"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/faultmodule"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

// openFake opens a real token behind a fake module in this process.
func openFake(t *testing.T, sessions int) (*token, *capgo.PublicKey, *faultmodule.Module) {
	t.Helper()
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	fake := faultmodule.New(t, tk.ModulePath)
	q := orders(tk)
	q.Module, q.Sessions = fake.Path(), sessions
	tok, err := openToken(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tok.close)
	if _, err := tok.login(login()); err != nil {
		t.Fatal(err)
	}
	return tok, public, fake
}

// TestPoolShrinksAndGrows has a token that gives fewer sessions for a time, because
// others have them.
func TestPoolShrinksAndGrows(t *testing.T) {
	tok, public, fake := openFake(t, 4)
	now := time.Now()
	tok.pool.now = func() time.Time { return now }
	openSessions := func() int {
		tok.pool.mu.Lock()
		defer tok.pool.mu.Unlock()
		return tok.pool.open
	}
	work := func() {
		t.Helper()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() { signsWell(t, tok, public) })
		}
		wg.Wait()
	}
	fake.LimitSessions(3) // the anchor's and two
	for range 5 {
		work()
	}
	if n := openSessions(); n > 2 {
		t.Errorf("%d sessions in the pool, want at most 2", n)
	}
	fake.LimitSessions(0)
	asked := fake.Calls("C_OpenSession")
	work()
	if n := fake.Calls("C_OpenSession"); n != asked {
		t.Errorf("the token was asked for %d sessions before it was time", n-asked)
	}
	now = now.Add(growAfter)
	for range 100 {
		if work(); openSessions() == 4 {
			break
		}
	}
	tok.pool.mu.Lock()
	parked := len(tok.pool.parked)
	tok.pool.mu.Unlock()
	if parked != 0 {
		t.Errorf("%d places are still without a session, want none", parked)
	}
}

// TestSingleSession has a token that allows one session in all. Its signatures and
// logins take turns, and it gets over the loss of that session.
func TestSingleSession(t *testing.T) {
	tok, public, fake := openFake(t, 4)
	fake.LimitSessions(1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { signsWell(t, tok, public) })
		wg.Go(func() {
			if _, err := tok.login(login()); err != nil {
				t.Errorf("logging in beside signatures: %v", err)
			}
		})
	}
	wg.Wait()
	for range tok.sessions { // those of before the limit too
		select {
		case s := <-tok.pool.free:
			if s.open && !s.lent {
				tok.closeSession(s)
			}
			tok.pool.free <- s
		default:
		}
	}
	if err := tok.ctx.CloseSession(tok.anchor.handle); err != nil {
		t.Fatal(err)
	}
	// Without its session it has logged out too.
	if _, err := tok.sign(&proto.Sign{Key: acme(), Payloads: []capgo.Payload{checksum(t, "a")}}); err == nil {
		t.Error("signed without a login")
	}
	if _, err := tok.login(login()); err != nil {
		t.Fatalf("logging in again: %v", err)
	}
	signsWell(t, tok, public)
}
