package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// maxReason is the longest reason that is read, in bytes.
const maxReason = 1000

// errHungUp is a terminal at which nobody types any more.
var errHungUp = errors.New("the terminal has ended")

// desk is the terminal of a person who reviews: what is read and what is asked are
// on it, both.
type desk struct {
	in, out *os.File
}

// desk finds the terminal.
func (a *app) desk() (*desk, error) {
	in, inOK := a.stdin.(*os.File)
	out, outOK := a.stderr.(*os.File)
	if !inOK || !outOK || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil, &inputError{
			err:  errors.New("found no terminal: bundlesign review shows requests to a person and asks"),
			hint: "bundlesign requests --state pending lists what waits, and bundlesign approve ID approves it",
		}
	}
	return &desk{in, out}, nil
}

// ask asks, and returns a line. What was typed before the question is no answer to
// it: nobody approves what they have not been shown.
func (d *desk) ask(ctx context.Context, question string, most int64) (string, error) {
	if err := discardTyped(d.in); err != nil {
		return "", fmt.Errorf("asking: %w", err)
	}
	fmt.Fprintf(d.out, "%s ", question)
	answer, err := typed(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(d.in, most)).ReadString('\n')
	})
	switch {
	case errors.Is(err, io.EOF) && ctx.Err() == nil:
		fmt.Fprintln(d.out)
		return "", errHungUp
	case err != nil:
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimSpace(answer), nil
}

// askReason asks for a line that others will read. It is "" if the person thinks
// better of it.
func (d *desk) askReason(ctx context.Context) (string, error) {
	for {
		reason, err := d.ask(ctx, "Why, in one line, for the requester and the log? (nothing: do not reject)", maxReason)
		if err != nil || !strings.ContainsFunc(reason, func(c rune) bool { return !unicode.IsPrint(c) }) {
			return reason, err
		}
		fmt.Fprintln(d.out, "bundlesign: found a character that cannot be seen; once more, please")
	}
}

// page shows a long text, a screen at a time.
func (d *desk) page(ctx context.Context, text string) error {
	columns, rows, err := term.GetSize(int(d.out.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		columns, rows = defaultWidth, 24
	}
	lines := strings.SplitAfter(strings.TrimSuffix(framed(text, columns), "\n"), "\n")
	for screen := max(rows-2, 5); ; lines = lines[screen:] {
		if len(lines) <= screen {
			fmt.Fprintf(d.out, "%s\n", strings.Join(lines, ""))
			return nil
		}
		fmt.Fprint(d.out, strings.Join(lines[:screen], ""))
		answer, err := d.ask(ctx, fmt.Sprintf("-- %d lines more; Enter goes on, q ends --", len(lines)-screen), maxTyped)
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.ToLower(answer), "q") {
			return nil
		}
	}
}
