package child

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// header returns the header of an ELF file without anything behind it.
func header(class elf.Class, machine elf.Machine, kind elf.Type) []byte {
	b := make([]byte, 64)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	le := binary.LittleEndian
	le.PutUint16(b[16:], uint16(kind))
	le.PutUint16(b[18:], uint16(machine))
	le.PutUint32(b[20:], uint32(elf.EV_CURRENT))
	if class == elf.ELFCLASS64 {
		le.PutUint16(b[52:], 64)
		le.PutUint16(b[54:], 56)
		le.PutUint16(b[58:], 64)
	} else {
		le.PutUint16(b[40:], 52)
		le.PutUint16(b[42:], 32)
		le.PutUint16(b[46:], 40)
	}
	return b
}

// TestNotAModule has each wrong file for a module, and reads what is said of it.
func TestNotAModule(t *testing.T) {
	ours := machines()[runtime.GOARCH]
	other, otherName := elf.EM_AARCH64, "aarch64"
	if ours == other {
		other, otherName = elf.EM_X86_64, "x86-64"
	}
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"text":            {[]byte("#!/bin/sh\n"), "is not a shared library"},
		"empty":           {nil, "is not a shared library"},
		"another machine": {header(elf.ELFCLASS64, other, elf.ET_DYN), "is ELF for " + otherName + ", this machine is " + machineName(ours)},
		"32-bit":          {header(elf.ELFCLASS32, ours, elf.ET_DYN), "is a 32-bit library"},
		"old 32-bit":      {header(elf.ELFCLASS32, elf.EM_386, elf.ET_DYN), "is ELF for x86 (32-bit)"},
		"an object file":  {header(elf.ELFCLASS64, ours, elf.ET_REL), "is not a shared library: ELF type ET_REL"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "module.so")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := load(path, "")
			wantKind(t, err, proto.KindModuleBad, path+" "+test.want)
		})
	}
	_, err := load(t.TempDir(), "")
	wantKind(t, err, proto.KindModuleBad, "is not a file")
}

// TestMissingDependency has a module that needs a library which is not there, as
// after half an installation.
func TestMissingDependency(t *testing.T) {
	dir := t.TempDir()
	compile := func(out, code string, args ...string) {
		t.Helper()
		cmd := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-x", "c", "-", "-o", filepath.Join(dir, out)}, args...)...)
		cmd.Stdin = strings.NewReader(code)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("gcc is needed for this test (apt-get install gcc): %v\n%s", err, text)
		}
	}
	compile("libvendor-net.so", "int vendor(void) { return 0; }")
	compile("module.so", "int vendor(void); int C_GetFunctionList(void *p) { return vendor(); }", "-L"+dir, "-Wl,--no-as-needed", "-lvendor-net")
	_, err := load(filepath.Join(dir, "module.so"), "")
	wantKind(t, err, proto.KindModuleBad, "a library that it needs is missing: libvendor-net.so: cannot open shared object file")
}

func wantKind(t *testing.T, err error, kind proto.Kind, text string) {
	t.Helper()
	(&parent{t: t}).wantFault(err, kind, text)
}
