package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// At a terminal it says what it will do, asks, and does it only for a yes.
func TestKeyCommandsAsk(t *testing.T) {
	dir := initialized(t)
	for i, c := range []struct {
		typed string
		code  int
	}{
		{"\n", 1},
		{"n\n", 1},
		{"yeah\n", 1},
		{"\x04", 1}, // the end of the input
		{strings.Repeat("y", 200) + "\n", 1},
		{"y\n", 0},
		{" YES \n", 0},
	} {
		keyboard, terminal := openTerminal(t)
		uri, path := fmt.Sprintf("file:%s/new%d.pem", dir, i), fmt.Sprintf("%s/new%d.pem", dir, i)
		cmd := bundlesignd("key", "create", uri, "--name", "acme-new", "--app", "com.acme.shop", "--config", filepath.Join(dir, "config.yaml"))
		out := new(logBuffer) // it is looked into while it may be written to
		cmd.Stdin, cmd.Stdout = terminal, out
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for buf := make([]byte, 1); !strings.HasSuffix(said.String(), "Go on? [y/N] "); said.Write(buf) {
			if _, err := stderr.Read(buf); err != nil {
				t.Fatalf("it never asked: %v\n%s", err, said.String())
			}
		}
		if !strings.Contains(said.String(), path) || out.String() != "" {
			t.Errorf("it does not say what it will do, on stderr alone:\n%s%s", said.String(), out)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("it did not wait for the answer")
		}
		if _, err := keyboard.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&said, stderr); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code tells
		if code := cmd.ProcessState.ExitCode(); code != c.code {
			t.Errorf("%q: exit code %d, want %d\n%s", c.typed, code, c.code, said.String())
		}
		if _, err := os.Stat(path); (err == nil) != (c.code == 0) {
			t.Errorf("%q: the key: %v", c.typed, err)
		}
		if c.code != 0 && !strings.Contains(said.String(), "nothing was done") {
			t.Errorf("%q: it said\n%s", c.typed, said.String())
		}
	}
	o := operatorOf{t: t, dir: dir}
	o.wantOperations("create begun acme-new", "create done acme-new", "create begun acme-new", "create done acme-new")
}
