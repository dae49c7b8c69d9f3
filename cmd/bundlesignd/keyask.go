package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// errDeclined says that the person who was asked did not agree.
var errDeclined = errors.New("nothing was done")

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 100

// confirm says on stderr what will be done, and asks whether it should be, unless
// that was typed already. Without a terminal there is nobody to ask.
func confirm(cmd *cobra.Command, yes bool, plan []string) error {
	var b strings.Builder
	for _, sentence := range plan {
		fmt.Fprintf(&b, "* %s\n", show.Printable(sentence))
	}
	if _, err := io.WriteString(cmd.ErrOrStderr(), b.String()); err != nil {
		return fmt.Errorf("saying what would be done: %w", err)
	}
	if yes {
		return nil
	}
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return &usageError{errors.New("nothing was done: found no terminal to ask on, want --yes if what stands above is to be done")}
	}
	if _, err := io.WriteString(cmd.ErrOrStderr(), "Go on? [y/N] "); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	answer, err := bufio.NewReader(io.LimitReader(terminal, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// interruptible is the context of what was agreed to. An interruption ends it in
// an orderly way, so that the log can say how far it came; a second one kills.
func interruptible(cmd *cobra.Command) (ctx context.Context, end context.CancelFunc) {
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
