package pkcs11_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11"
	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// fakeHostileChild stands for a child whose module has taken it over, or that is
// broken in a way that no real module at hand is. It opens like a real one and then
// plays its trick.
func fakeHostileChild(trick string) int {
	conn := os.NewFile(3, "parent")
	in, out := proto.NewReader(conn), proto.NewWriter(conn)
	result := func(f proto.Frame, body []byte) {
		_ = out.Write(proto.Frame{ID: f.ID, Op: proto.OpResult, Body: body})
	}
	fault := func(f proto.Frame, v proto.Fault) {
		body, _ := proto.Encode(v)
		_ = out.Write(proto.Frame{ID: f.ID, Op: proto.OpFault, Body: body})
	}
	raw := func(b []byte) { _, _ = conn.Write(b) }
	one := bytes.Repeat([]byte{1}, capgo.SignatureSize)
	logins := 0
	for {
		f, err := in.Next()
		if err != nil {
			if trick == "stays" {
				select {}
			}
			return 0
		}
		switch f.Op {
		case proto.OpOpen:
			switch trick {
			case "silent":
				select {}
			case "exits":
				return 3
			case "too many sessions":
				result(f, []byte(`{"token":{},"library":"","sessions":1000000000}`))
			case "no sessions":
				result(f, []byte(`{"token":{},"library":"","sessions":0}`))
			case "bad JSON":
				result(f, []byte(`{"token":`))
			case "unknown field":
				result(f, []byte(`{"token":{},"library":"","sessions":1,"x":1}`))
			case "leaves a process":
				cmd := exec.Command("sleep", "600")
				cmd.Stdout = os.Stdout
				_ = cmd.Start()
				fmt.Println("left", cmd.Process.Pid)
				fallthrough
			case "floods":
				if trick == "floods" {
					fmt.Print(strings.Repeat("noise\n", 20_000), strings.Repeat("z", 100_000), "\n")
				}
				fallthrough
			default:
				result(f, []byte(`{"token":{"label":"fake"},"library":"hostile","sessions":1}`))
			}
		case proto.OpLoginState:
			result(f, []byte(`{"required":true,"pad":false,"unset":false,"count_low":false,"final_try":false,"locked":false}`))
		case proto.OpLogin:
			if trick == "tells the PIN" {
				var q proto.Login
				_ = proto.Decode(f.Body, &q)
				fmt.Printf("debug: C_Login(%s)\n", q.PIN)
				fault(f, proto.Fault{Kind: proto.KindModuleBad, Detail: "PIN is " + string(q.PIN) + "\x1b[2J\n" + strings.Repeat("x", 5000)})
				continue
			}
			logins++
			result(f, []byte(`{"already":false}`))
		case proto.OpInspect:
			result(f, []byte(`{"modulus":"AQ==","exponent":"AQAB","attributes":{}}`))
		case proto.OpSign:
			switch trick {
			case "garbage":
				raw(bytes.Repeat([]byte{0xA5}, 1000))
			case "oversized frame":
				raw(binary.BigEndian.AppendUint32(nil, 1<<31))
				raw(make([]byte, 1<<20))
			case "half a frame":
				raw([]byte{0, 0, 1, 0, 0, 0, 0})
				return 0
			case "answers nobody":
				_ = out.Write(proto.Frame{ID: f.ID + 7, Op: proto.OpResult, Body: one})
			case "answers twice":
				result(f, one)
				result(f, one)
			case "unknown operation":
				_ = out.Write(proto.Frame{ID: f.ID, Op: 99})
			case "short signature":
				result(f, one[1:])
			case "two signatures":
				result(f, append(one, one...))
			case "no signature":
				result(f, nil)
			case "bad fault":
				_ = out.Write(proto.Frame{ID: f.ID, Op: proto.OpFault, Body: []byte("{")})
			case "unknown fault":
				fault(f, proto.Fault{Kind: "nonsense", Detail: "really"})
			case "closes":
				_ = conn.Close()
				select {}
			case "always fails":
				fault(f, proto.Fault{Kind: proto.KindCall, Call: "C_Sign", Code: 0x30})
			case "forgets its login":
				if logins < 2 {
					fault(f, proto.Fault{Kind: proto.KindCall, Call: "C_SignInit", Code: ckr.UserNotLoggedIn})
				} else {
					result(f, one)
				}
			default:
				result(f, one)
			}
		default:
			if body := fakeHostileMaking(trick, f); body != nil {
				result(f, body)
			}
		}
	}
}

func hostile(t *testing.T, trick string) *rig {
	t.Helper()
	pin := t.TempDir() + "/pin"
	if err := os.WriteFile(pin, []byte(softhsmtest.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	return newRig(t, pkcs11.Config{
		ModulePath:   "/fake/module.so",
		Token:        uri.Token{Label: "fake"},
		PIN:          uri.PINSource{Path: pin},
		ChildCommand: self(t, fakeArg, trick),
	})
}

func TestHostileChild(t *testing.T) {
	for trick, text := range map[string]string{
		"garbage":           "broke the protocol",
		"oversized frame":   "frame of 2147483648 bytes, want at most",
		"half a frame":      "ended",
		"answers nobody":    "an answer to no question",
		"unknown operation": "unknown operation 99",
		"short signature":   "found 255 bytes of signatures, want 1 times 256",
		"two signatures":    "found 512 bytes of signatures, want 1 times 256",
		"no signature":      "found 0 bytes of signatures",
		"bad fault":         "not the JSON that was expected",
		"unknown fault":     "really",
		"closes":            "closed its connection",
		"exits":             "exit status 3",
		"too many sessions": "it offers 1000000000 sessions of 8",
		"no sessions":       "it offers 0 sessions of 8",
		"bad JSON":          "not the JSON that was expected",
		"unknown field":     "not the JSON that was expected",
		"always fails":      "C_Sign failed: CKR_DEVICE_ERROR (0x30)",
	} {
		t.Run(trick, func(t *testing.T) {
			r := hostile(t, trick)
			k := r.key(pkcs11.KeyOptions{Object: "acme"})
			wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, text)
		})
	}
}

func TestHostileChildAnswersTwice(t *testing.T) {
	r := hostile(t, "answers twice")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	// The first answer is good and arrives; the second ends the child.
	if err := sign(t.Context(), t, k); err != nil {
		wantError(t, err, signer.ErrUnavailable, "an answer to no question")
	}
	eventually(t, "the child is ended", func() bool { return r.count(gone) > 0 })
}

func TestHostileChildShowsABadKey(t *testing.T) {
	_, err := hostile(t, "").key(pkcs11.KeyOptions{Object: "acme"}).Inspect(t.Context())
	wantError(t, err, signer.ErrKeyUnusable, "RSA key of 1 bits, want 2048")
}

func TestSilentChild(t *testing.T) {
	r := hostile(t, "silent")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	r.SetOpenTimeout(200 * time.Millisecond)
	wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "no answer within 200ms")
}

// TestBackoff shows that a child that never gets anything done is not started for
// every call.
func TestBackoff(t *testing.T) {
	r := hostile(t, "exits")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	for range 200 {
		wantError(t, sign(t.Context(), t, k), signer.ErrUnavailable, "exit status 3")
	}
	if n := r.count(gone); n > 50 {
		t.Errorf("%d processes were started for 200 calls in a row", n)
	}
	eventually(t, "a call is refused without an attempt", func() bool {
		return strings.Contains(fmt.Sprint(sign(t.Context(), t, k)), "the next attempt is made in")
	})
}

func TestChildThatTellsThePIN(t *testing.T) {
	r := hostile(t, "tells the PIN")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	err := sign(t.Context(), t, k)
	wantError(t, err, signer.ErrKeyUnusable, `PIN is [PIN]\x1b[2J\nxxx`)
	if len(err.Error()) > 600 {
		t.Errorf("the child's text was taken over at full length: %d bytes", len(err.Error()))
	}
	eventually(t, "the output is logged", func() bool {
		for _, e := range r.logs.FilterMessage(wrote).All() {
			if e.ContextMap()["line"] == "debug: C_Login([PIN])" {
				return true
			}
		}
		return false
	})
}

func TestFlood(t *testing.T) {
	r := hostile(t, "floods")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	lines := r.logs.FilterMessage(wrote).All()
	if len(lines) < 100 || len(lines) > 1000 {
		t.Errorf("%d of more than 20,000 lines were logged", len(lines))
	}
	for _, e := range lines {
		if n := len(e.ContextMap()["line"].(string)); n > 1024 {
			t.Errorf("a line of %d bytes was logged", n)
		}
	}
}

func TestLoginIsRepeated(t *testing.T) {
	r := hostile(t, "forgets its login")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	if n := r.count("pkcs11 token logged in again"); n != 1 {
		t.Errorf("%d new logins, want 1", n)
	}
	if n := r.count(opened); n != 1 {
		t.Errorf("%d children, want 1: a login needs no new process", n)
	}
}

func TestChildThatStaysIsKilled(t *testing.T) {
	r := hostile(t, "stays")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	pid := r.pid()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the child is still there")
	}
}

// TestProcessOfTheModule has the module leave a process behind that holds its output
// open: closing does not wait for it.
func TestProcessOfTheModule(t *testing.T) {
	r := hostile(t, "leaves a process")
	k := r.key(pkcs11.KeyOptions{Object: "acme"})
	mustSign(t, k)
	var left int
	eventually(t, "the child says which process it left", func() bool {
		for _, e := range r.logs.FilterMessage(wrote).All() {
			if text, ok := strings.CutPrefix(e.ContextMap()["line"].(string), "left "); ok {
				left, _ = strconv.Atoi(text)
			}
		}
		return left != 0
	})
	defer func() { _ = syscall.Kill(left, syscall.SIGKILL) }()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !alive(left) {
		t.Error("the process was not left: the test shows nothing")
	}
}
