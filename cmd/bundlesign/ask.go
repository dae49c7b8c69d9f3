package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxTyped is the longest answer that is read, in bytes.
const maxTyped = 100

// confirm asks on stderr for a yes, unless that was typed already. Without a
// terminal there is nobody to ask.
func (a *app) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	terminal, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return &inputError{
			err:  errors.New("nothing was done: found no terminal to ask on"),
			hint: "--yes signs without asking: read the statement first",
		}
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := typed(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(terminal, maxTyped)).ReadString('\n')
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &inputError{err: errors.New("nothing was done: the answer was no")}
}

// askPassphrase asks at the terminal that the process belongs to, wherever stdin
// is, and does not show what is typed.
func (a *app) askPassphrase(ctx context.Context, prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, &inputError{
			err:  errors.New("found no terminal to ask for the passphrase on"),
			hint: "add the key to an ssh-agent (ssh-add), which asks once",
		}
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("asking for the passphrase: %w", err)
	}
	fmt.Fprint(tty, prompt)
	secret, err := typed(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		_ = term.Restore(fd, before) // or the terminal stays silent after an interruption
	}
	fmt.Fprintln(tty)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	return secret, nil
}

// typed reads what a person types, until ctx ends. The reading cannot be stopped:
// it ends with the process, which has nothing else to do then.
func typed[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	c := make(chan answer, 1)
	go func() {
		value, err := read()
		c <- answer{value, err}
	}()
	select {
	case got := <-c:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
