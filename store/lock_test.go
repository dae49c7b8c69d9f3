package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestStateDirectoryOthersCanChangeIsRefused(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), keys.options(dir)); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
	if _, err := Open(t.Context(), keys.options(filepath.Join(dir, "missing"))); err == nil || !strings.Contains(err.Error(), "install -d -m 700") {
		t.Errorf("a missing directory: got %v, want how to make it", err)
	}
}

func TestRemovingFilesDoesNotUndoTheLock(t *testing.T) {
	dir := stateDir(t)
	l, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, pidName)); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := lockDir(dir); !errors.As(err, &locked) {
		t.Errorf("got %v, want that it is still locked", err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := stateDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD_LOCK="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	keys := newLogKeys(t)
	_, err = Open(t.Context(), keys.options(dir))
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("got %v, want a LockedError that names process %d", err, cmd.Process.Pid)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	openStore(t, keys.options(dir)) // the lock went with its holder
}

func holdLock(dir string) {
	l, err := lockDir(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = l.release()
}

func TestFilesAreNobodyElses(t *testing.T) {
	dir := stateDir(t)
	s := openStore(t, newLogKeys(t).options(dir))
	if err := s.Update(t.Context(), insert(request("r"))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s, want nothing for group and others", f, info.Mode())
		}
	}
}
