package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

func TestLoggerWritesJSON(t *testing.T) {
	var buf bytes.Buffer
	newLogger(&buf, zap.InfoLevel).Info("hello", zap.Int("n", 7))
	newLogger(&buf, zap.WarnLevel).Info("not important enough")
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil || got["msg"] != "hello" || got["n"] != 7.0 || got["level"] != "info" {
		t.Errorf("got %q, %v, want one line of JSON", buf.String(), err)
	}
}

func TestLoggerWritesLinesToATerminal(t *testing.T) {
	master, terminal := openTerminal(t)
	newLogger(terminal, zap.InfoLevel).Info("hello", zap.Int("n", 7))
	buf := make([]byte, 1024)
	n, err := master.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if line := string(buf[:n]); strings.HasPrefix(line, "{") || !strings.Contains(line, "INFO") || !strings.Contains(line, "hello") || !strings.Contains(line, `{"n": 7}`) {
		t.Errorf("got %q, want a line for people", line)
	}
}

// openTerminal makes a pseudoterminal (pty(7)).
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}
