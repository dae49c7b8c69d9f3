package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forgetStart gives back the memory that only the start needed: garbage, and the
// pages of the program's own code that ran once. Code is read from the file again
// when it is needed (madvise(2), MADV_DONTNEED on a private mapping of a file that
// nobody can have written to), so nothing can be lost; an error is of no
// consequence.
func forgetStart() error {
	debug.FreeOSMemory()
	exe, err := os.Readlink(thisProgram)
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// 00401000-016f1000 r-xp 00001000 fe:00 1234   /usr/bin/bundlesignd
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 || fields[1] != "r-xp" || fields[5] != exe {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
			return err
		}
		code := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), from)), to-from)
		if err := unix.Madvise(code, unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}
