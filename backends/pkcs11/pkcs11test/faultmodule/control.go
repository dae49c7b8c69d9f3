package faultmodule

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of the control file, which is struct control in c/fake_module.c: 64-bit
// words and a few texts between them.
const (
	setFlags = iota
	clearFlags
	maxSessions
	sessionLimit
	refusePKCS1
	refuseCode
	wantInitArgs
	typedPINLen
	headWords
)

const (
	typedPINAt, typedPINSize     = headWords * 8, 64
	initArgsAt, initArgsSize     = typedPINAt + typedPINSize, 512
	realModuleAt, realModuleSize = initArgsAt + initArgsSize, 1024
	liesAt                       = realModuleAt + realModuleSize
	maxLies, lieWords            = 8, 3
	faultsAt                     = liesAt + maxLies*lieWords*8
)

// The words of a fault.
const (
	calls = iota
	skip
	times
	action
	value
	late
	faultWords
)

// Values of the word refusePKCS1.
const (
	mechanismMissing = 1
	digestInfoOnly   = 2
)

const always = math.MaxUint64

// control is the mapped file.
type control struct {
	memory []byte
	words  []atomic.Uint64 // the same memory
}

func newControl(path, realModule string) (*control, error) {
	size := faultsAt + len(functions())*faultWords*8
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	memory, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	c := &control{memory, unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&memory[0])), size/8)}
	c.words[maxSessions].Store(always) // the truth
	if err := c.setText(realModuleAt, realModuleSize, realModule); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *control) close() error { return unix.Munmap(c.memory) }

func (c *control) fault(i int) []atomic.Uint64 {
	at := faultsAt/8 + i*faultWords
	return c.words[at : at+faultWords]
}

func (c *control) lie(i int) []atomic.Uint64 {
	at := liesAt/8 + i*lieWords
	return c.words[at : at+lieWords]
}

func (c *control) text(at, size int) string {
	b, _, _ := bytes.Cut(c.memory[at:at+size], []byte{0})
	return string(b)
}

func (c *control) setText(at, size int, s string) error {
	if len(s) >= size {
		return fmt.Errorf("%d bytes do not fit into the control file, want fewer than %d", len(s), size)
	}
	clear(c.memory[at : at+size])
	copy(c.memory[at:], s)
	return nil
}
