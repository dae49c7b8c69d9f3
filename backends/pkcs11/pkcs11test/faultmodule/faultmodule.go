// Package faultmodule makes fake PKCS#11 modules that stand in front of a real one
// and do wrong what a test tells them to: return a code, crash, hang, lie about the
// token, spoil a signature.
//
// Real modules return the codes that matter most only when real hardware breaks.
// The fake does nothing of its own beside the wrong: keys, sessions and signatures
// are the real module's. Its invariant is that a test can change what is wrong at
// any moment, whatever processes have the module loaded: what they share is one
// mapped file beside the module. The module is C, built once with gcc and kept in
// the user's cache directory.
package faultmodule

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
)

// Module is one fake module, in a directory that goes when the test ends.
type Module struct {
	t       testing.TB
	path    string
	control *control
}

// New makes a fake module in front of the real one with this path, with nothing
// wrong yet. It fails the test if there is no gcc.
func New(t testing.TB, realModule string) *Module {
	t.Helper()
	built, err := build()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fake-module.so")
	if err := os.WriteFile(path, code, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := newControl(path+".control", realModule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return &Module{t, path, c}
}

// Path is what a configuration names as the module.
func (m *Module) Path() string { return m.path }

// Action is what goes wrong in a call.
type Action uint64

// The actions.
const (
	Return   Action = iota // Fault.Code is returned
	Crash                  // SIGSEGV
	Abort                  // SIGABRT
	Hang                   // the call never returns
	HangDeaf               // the same, with all signals blocked
	Delay                  // the call takes Fault.Delay longer
	FlipBit                // C_Sign only: one bit of the signature is wrong
	CutByte                // C_Sign only: the signature is one byte short
)

// Fault is what goes wrong in one function.
type Fault struct {
	Function string // "C_Sign"
	Action   Action
	Code     ckr.Code      // for Return
	Delay    time.Duration // for Delay
	Skip     int           // so many calls go well first
	Times    int           // so many calls go wrong; 0: all from then on
	// Late has it happen after the real module has done its work: a C_Login that
	// crashes late has spent an attempt. C_Sign returns codes late in any case, since
	// a failed one ends the operation.
	Late bool
}

// Inject has a function do wrong from now on, in place of any fault that it has.
func (m *Module) Inject(f Fault) {
	m.t.Helper()
	w := m.control.fault(m.index(f.Function))
	w[times].Store(0) // off, until all of it is written
	w[skip].Store(uint64(f.Skip))
	w[action].Store(uint64(f.Action))
	w[late].Store(0)
	if f.Late {
		w[late].Store(1)
	}
	w[value].Store(uint64(f.Code))
	if f.Action == Delay {
		w[value].Store(uint64(f.Delay.Milliseconds()))
	}
	if f.Times == 0 {
		w[times].Store(always)
	} else {
		w[times].Store(uint64(f.Times))
	}
}

// Heal ends all faults. Lies go on.
func (m *Module) Heal() {
	for i := range functions() {
		m.control.fault(i)[times].Store(0)
	}
}

// Calls returns how often a function was called, in all processes, whatever came
// of it. Of C_Sign, questions for the length of a signature are not counted.
func (m *Module) Calls(function string) int {
	m.t.Helper()
	return int(m.control.fault(m.index(function))[calls].Load())
}

// Hanging returns how many calls of a function have begun to hang since the fault
// was injected. One that hangs late is counted when the real module has done its
// work.
func (m *Module) Hanging(function string) int {
	m.t.Helper()
	return int(m.control.fault(m.index(function))[value].Load())
}

func (m *Module) index(function string) int {
	m.t.Helper()
	for i, name := range functions() {
		if name == function {
			return i
		}
	}
	m.t.Fatalf("the fake module passes %q on without looking at it; add it to functions()", function)
	return 0
}
