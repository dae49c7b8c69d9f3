package child

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
)

func TestHarden(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, hardenArg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := strings.TrimSpace(string(out)), "dumpable 0, core 0/0, ignored true true true"; got != want {
		t.Errorf("after hardening: %s\nwant: %s", got, want)
	}
}

func acme() proto.Selector { return proto.Selector{Label: "acme"} }

func orders(tk *softhsmtest.Token) *proto.Open {
	return &proto.Open{
		Module:   tk.ModulePath,
		Token:    proto.Token{Label: tk.Label},
		Sessions: 2,
	}
}

func login() *proto.Login { return &proto.Login{PIN: []byte(softhsmtest.PIN)} }

// openReal opens a real token in this very process.
func openReal(t *testing.T) (*token, *capgo.PublicKey) {
	t.Helper()
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	token, err := openToken(orders(tk))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(token.close)
	if _, err := token.login(login()); err != nil {
		t.Fatal(err)
	}
	return token, public
}

func checksum(t *testing.T, text string) capgo.Payload {
	t.Helper()
	p, err := capgo.ChecksumPayload(sha256.Sum256([]byte(text)), capgo.FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func signsWell(t *testing.T, tok *token, public *capgo.PublicKey) {
	t.Helper()
	payloads := []capgo.Payload{checksum(t, "a"), capgo.SessionKeyPayload(), checksum(t, "b")}
	body, err := tok.sign(&proto.Sign{Key: acme(), Payloads: payloads})
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	signatures, err := proto.DecodeSigned(body, len(payloads))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range payloads {
		if err := public.Verify(p, signatures[i]); err != nil {
			t.Errorf("payload %d: %v", i, err)
		}
	}
}

func wantCode(t *testing.T, err error, want ckr.Code) {
	t.Helper()
	if !isCode(err, want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestSessionLost closes the pool's sessions behind its back: it opens others.
func TestSessionLost(t *testing.T) {
	tok, public := openReal(t)
	signsWell(t, tok, public)
	for range tok.sessions {
		s := <-tok.pool.free
		if s.open {
			if err := tok.ctx.CloseSession(s.handle); err != nil {
				t.Fatal(err)
			}
		}
		tok.pool.free <- s
	}
	for range 2 * tok.sessions {
		signsWell(t, tok, public)
	}
}

// TestLoginLost takes the login away in two ways. Without the PIN the child cannot
// help itself; it says so, and goes on after the next login.
func TestLoginLost(t *testing.T) {
	for name, lose := range map[string]func(*token) error{
		"logout":             func(tok *token) error { return tok.ctx.Logout(tok.anchor.handle) },
		"all sessions ended": func(tok *token) error { return tok.ctx.CloseAllSessions(tok.slot) },
	} {
		t.Run(name, func(t *testing.T) {
			tok, public := openReal(t)
			signsWell(t, tok, public)
			if err := lose(tok); err != nil {
				t.Fatal(err)
			}
			_, err := tok.sign(&proto.Sign{Key: acme(), Payloads: []capgo.Payload{checksum(t, "a")}})
			wantCode(t, err, ckr.UserNotLoggedIn)
			_, err = tok.inspect(acme())
			wantCode(t, err, ckr.UserNotLoggedIn)
			if in, err := tok.login(login()); err != nil || in.Already {
				t.Fatalf("logging in again: %+v, %v", in, err)
			}
			signsWell(t, tok, public)
			if in, err := tok.login(login()); err != nil || !in.Already {
				t.Errorf("logging in while logged in: %+v, %v", in, err)
			}
			signsWell(t, tok, public)
		})
	}
}

func TestInspectShowsAttributes(t *testing.T) {
	tok, public := openReal(t)
	got, err := tok.inspect(acme())
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Modulus) != string(public.RSA().N.Bytes()) || string(got.Exponent) != "\x01\x00\x01" {
		t.Errorf("another public key: %x, %x", got.Modulus, got.Exponent)
	}
	for _, name := range []string{"CKA_SENSITIVE", "CKA_ALWAYS_SENSITIVE", "CKA_NEVER_EXTRACTABLE", "CKA_LOCAL", "CKA_SIGN"} {
		if !got.Attributes[name] {
			t.Errorf("%s is false or missing in %v", name, got.Attributes)
		}
	}
	if extractable, known := got.Attributes["CKA_EXTRACTABLE"]; extractable || !known {
		t.Errorf("CKA_EXTRACTABLE is true or missing in %v", got.Attributes)
	}
}

func TestForbids(t *testing.T) {
	const good = pkcs11.CKF_USER_PIN_INITIALIZED | pkcs11.CKF_LOGIN_REQUIRED
	for _, test := range []struct {
		flags uint
		want  proto.Kind
	}{
		{good, ""},
		{good | pkcs11.CKF_USER_PIN_COUNT_LOW, ""},
		{good | pkcs11.CKF_USER_PIN_FINAL_TRY, proto.KindPINFinalTry},
		{good | pkcs11.CKF_USER_PIN_FINAL_TRY | pkcs11.CKF_USER_PIN_LOCKED, proto.KindPINLocked},
		{good | pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH, ""},
		{pkcs11.CKF_LOGIN_REQUIRED, proto.KindPINUnset},
	} {
		var got proto.Kind
		if fault := loginFlags(test.flags).Forbids(); fault != nil {
			got = fault.Kind
		}
		if got != test.want {
			t.Errorf("flags %#x: %q, want %q", test.flags, got, test.want)
		}
	}
}

// The token's generator is asked for each session key, and for nothing else; a
// generator that fails is not passed over.
func TestSessionKeysTakeTheTokensRandomBytes(t *testing.T) {
	tok, public := openReal(t)
	if tok.random == nil {
		t.Fatal("SoftHSM has a generator, and the child does not know")
	}
	real, asked, boom := tok.random, 0, pkcs11.Error(pkcs11.CKR_FUNCTION_FAILED)
	tok.random = func(h pkcs11.SessionHandle, n int) ([]byte, error) {
		asked++
		b, err := real(h, n)
		if len(b) != entropySize || bytes.Equal(b, make([]byte, entropySize)) {
			t.Errorf("the token gave %d bytes, want %d random ones", len(b), entropySize)
		}
		return b, err
	}
	signsWell(t, tok, public) // two checksums and one session key
	if asked != 1 {
		t.Errorf("the generator was asked %d times for one session key", asked)
	}
	tok.random = func(pkcs11.SessionHandle, int) ([]byte, error) { return nil, boom }
	if _, err := tok.sign(&proto.Sign{Key: acme(), Payloads: []capgo.Payload{capgo.SessionKeyPayload()}}); err == nil {
		t.Error("a session key was drawn although the token's generator failed")
	}
}

func TestPoolSize(t *testing.T) {
	for _, test := range []struct {
		wanted int
		most   uint
		want   int
	}{
		{8, 0, 8},        // no limit
		{8, ^uint(0), 8}, // limit unknown
		{8, ^uint(0) - 1, 8},
		{8, 16, 8},
		{8, 9, 8},
		{8, 8, 7}, // one is the anchor
		{8, 2, 1},
		{8, 1, 1}, // which is the anchor
		{0, 0, 1},
	} {
		if got := poolSize(test.wanted, test.most); got != test.want {
			t.Errorf("%d wanted of %d: %d, want %d", test.wanted, test.most, got, test.want)
		}
	}
}

func TestMatches(t *testing.T) {
	says := proto.Token{Label: "l", Serial: "s", Manufacturer: "m", Model: "o", SlotID: 7, HasSlotID: true}
	for _, want := range []proto.Token{{}, {Label: "l"}, {Serial: "s"}, {Manufacturer: "m"}, {Model: "o"}, {SlotID: 7, HasSlotID: true}, says} {
		if !matches(want, says) {
			t.Errorf("%+v does not match", want)
		}
	}
	for _, want := range []proto.Token{{Label: "x"}, {Serial: "x"}, {Manufacturer: "x"}, {Model: "x"}, {HasSlotID: true}, {Label: "l", Serial: "x"}} {
		if matches(want, says) {
			t.Errorf("%+v matches", want)
		}
	}
}

// parent is the daemon's end of a served connection.
type parent struct {
	t    *testing.T
	conn *net.UnixConn
	in   *proto.Reader
	done chan error
}

func serveTest(t *testing.T) *parent {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]*net.UnixConn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		ends[i] = conn.(*net.UnixConn)
	}
	p := &parent{t, ends[0], proto.NewReader(ends[0]), make(chan error, 1)}
	go func() {
		p.done <- serve(ends[1])
		ends[1].Close()
	}()
	t.Cleanup(func() { ends[0].Close() })
	return p
}

func (p *parent) send(f proto.Frame) {
	p.t.Helper()
	wire, err := f.Append(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(wire); err != nil {
		p.t.Fatal(err)
	}
}

// ask returns the result, or the fault as an error.
func (p *parent) ask(op proto.Op, body []byte) ([]byte, error) {
	p.t.Helper()
	p.send(proto.Frame{ID: 42, Op: op, Body: body})
	f, err := p.in.Next()
	if err != nil {
		p.t.Fatal(err)
	}
	if f.ID != 42 {
		p.t.Errorf("the answer is to question %d, want 42", f.ID)
	}
	if f.Op == proto.OpResult {
		return f.Body, nil
	}
	var fault proto.Fault
	if err := proto.Decode(f.Body, &fault); err != nil {
		p.t.Fatal(err)
	}
	return nil, &fault
}

func (p *parent) login() {
	p.t.Helper()
	body, err := proto.Encode(login())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.ask(proto.OpLogin, body); err != nil {
		p.t.Fatalf("logging in: %v", err)
	}
}

func (p *parent) wantFault(err error, kind proto.Kind, text string) {
	p.t.Helper()
	var fault *proto.Fault
	if !errors.As(err, &fault) || fault.Kind != kind || !strings.Contains(fault.Detail, text) {
		p.t.Errorf("answer %v, want a fault of kind %q with %q", err, kind, text)
	}
}

func TestServe(t *testing.T) {
	tk := softhsmtest.New(t)
	public := tk.GenerateKey("acme")
	p := serveTest(t)
	order, err := proto.Sign{Key: acme(), Payloads: []capgo.Payload{checksum(t, "a")}}.Encode()
	if err != nil {
		t.Fatal(err)
	}

	if _, err := p.ask(proto.OpPing, nil); err != nil {
		t.Errorf("ping: %v", err)
	}
	_, err = p.ask(proto.OpSign, order)
	p.wantFault(err, proto.KindProtocol, "not open")
	_, err = p.ask(proto.OpOpen, []byte(`{"module":`))
	p.wantFault(err, proto.KindProtocol, "not the JSON")
	_, err = p.ask(proto.OpOpen, []byte(`{"module":"/none"}`))
	p.wantFault(err, proto.KindModuleMissing, "")

	body, err := proto.Encode(orders(tk))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.ask(proto.OpOpen, body)
	if err != nil {
		t.Fatal(err)
	}
	var opened proto.Opened
	if err := proto.Decode(got, &opened); err != nil || opened.Sessions != 2 || opened.Token.Label != tk.Label {
		t.Errorf("opened as %+v, %v", opened, err)
	}
	_, err = p.ask(proto.OpOpen, body)
	p.wantFault(err, proto.KindProtocol, "open already")
	_, err = p.ask(77, nil)
	p.wantFault(err, proto.KindProtocol, "unknown operation 77")
	_, err = p.ask(proto.OpSign, order[:len(order)-1])
	p.wantFault(err, proto.KindProtocol, "found 32 bytes of payloads")
	chosen := append(append([]byte{}, order[:len(order)-33]...), byte(capgo.KindSession))
	_, err = p.ask(proto.OpSign, append(chosen, make([]byte, 31)...))
	p.wantFault(err, proto.KindProtocol, "found 32 bytes")
	_, err = p.ask(proto.OpSign, append(append(chosen, make([]byte, 31)...), 1))
	p.wantFault(err, proto.KindProtocol, "carries no bytes of the caller's")
	_, err = p.ask(proto.OpInspect, []byte(`{"x":1}`))
	p.wantFault(err, proto.KindProtocol, "not the JSON")

	p.login()
	got, err = p.ask(proto.OpSign, order)
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := proto.DecodeSigned(got, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(checksum(t, "a"), signatures[0]); err != nil {
		t.Error(err)
	}
	if err := p.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; err != nil {
		t.Errorf("at the end of the stream: %v", err)
	}
}

// TestServeDrains closes the stream behind a pile of orders: each is answered
// before the module is finalized, which would crash in the middle of a call.
func TestServeDrains(t *testing.T) {
	tk := softhsmtest.New(t)
	tk.GenerateKey("acme")
	p := serveTest(t)
	body, err := proto.Encode(orders(tk))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ask(proto.OpOpen, body); err != nil {
		t.Fatal(err)
	}
	p.login()
	const n = 50
	for i := range n {
		order, err := proto.Sign{Key: acme(), Payloads: []capgo.Payload{checksum(t, fmt.Sprint(i)), capgo.SessionKeyPayload()}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		p.send(proto.Frame{ID: uint64(i), Op: proto.OpSign, Body: order})
	}
	if err := p.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answered := map[uint64]bool{}
	for {
		f, err := p.in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Op != proto.OpResult || len(f.Body) != 2*capgo.SignatureSize {
			t.Errorf("answer %d: operation %d with %d bytes", f.ID, f.Op, len(f.Body))
		}
		answered[f.ID] = true
	}
	if len(answered) != n {
		t.Errorf("%d of %d orders were answered", len(answered), n)
	}
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}

func TestServeEndsAtGarbage(t *testing.T) {
	p := serveTest(t)
	if _, err := p.conn.Write([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("after an oversized frame: %v", err)
	}
}
