package child

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// checkELF says what is wrong with a file that is to be loaded, where the loader
// would say it in a way that only its authors understand.
func checkELF(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	f, err := elf.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s may not be read by uid %d", path, os.Geteuid())
	}
	if err != nil {
		return fmt.Errorf("%s is not a shared library: %w", path, err)
	}
	defer f.Close()
	want, known := machines()[runtime.GOARCH]
	if known && f.Machine != want {
		return fmt.Errorf("%s is ELF for %s, this machine is %s: install the vendor's library for it", path, machineName(f.Machine), machineName(want))
	}
	if f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("%s is a 32-bit library, want a 64-bit one", path)
	}
	if f.Type != elf.ET_DYN {
		return fmt.Errorf("%s is not a shared library: ELF type %s", path, f.Type)
	}
	return nil
}

// machines are the 64-bit machines that Go knows under these names.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{
		"amd64":   elf.EM_X86_64,
		"arm64":   elf.EM_AARCH64,
		"ppc64le": elf.EM_PPC64,
		"riscv64": elf.EM_RISCV,
		"s390x":   elf.EM_S390,
	}
}

func machineName(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_AARCH64:
		return "aarch64"
	case elf.EM_386:
		return "x86 (32-bit)"
	case elf.EM_ARM:
		return "arm (32-bit)"
	}
	return m.String()
}
