package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// maxSSHSig is the longest signature that is sent, in bytes.
const maxSSHSig = 32 << 10

// wordFlags say how a person gives their word: with a key, or in two steps with
// plain ssh-keygen.
type wordFlags struct {
	pen    penFlags
	sshsig string
	print  string
	yes    bool
}

func (f *wordFlags) add(cmd *cobra.Command) {
	f.pen.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.print, "print", "", "write the statement to this `file` (- is stdout) for plain ssh-keygen, and send nothing")
	fl.StringVar(&f.sshsig, "sshsig", "", "send this `file` (- is stdin), which ssh-keygen -Y sign has written")
	fl.BoolVar(&f.yes, "yes", false, "sign without asking")
	for _, other := range []string{"key", "agent-key", "yes"} {
		cmd.MarkFlagsMutuallyExclusive("print", other)
		cmd.MarkFlagsMutuallyExclusive("sshsig", other)
	}
	cmd.MarkFlagsMutuallyExclusive("print", "sshsig")
}

// word is something that a person signs.
type word struct {
	namespace string
	question  string // asked before it is signed
	again     string // the command that is typed, without how it is signed
	// text gets what is to be signed, checked, and says first what a person should
	// know about it.
	text func(ctx context.Context, c *client.Client) (string, error)
	// send delivers the signature and prints what came of it.
	send func(ctx context.Context, c *client.Client, sshsig string) error
}

// give has a person sign, and sends what they signed.
func (a *app) give(cmd *cobra.Command, f *wordFlags, w *word) error {
	send := func(armored string) error {
		return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return w.send(ctx, c, armored) })
	}
	if f.sshsig != "" {
		armored, err := a.readSSHSig(f.sshsig)
		if err != nil {
			return err
		}
		return send(armored)
	}
	var text string
	err := a.ask(cmd, func(ctx context.Context, c *client.Client) (err error) {
		text, err = w.text(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	if f.print != "" {
		return a.printForKeygen(f.print, text, w)
	}
	// Before anything is asked: a person should not read in vain.
	pen, err := a.pen(cmd.Context(), &f.pen)
	if err != nil {
		return err
	}
	defer pen.close()
	if err := a.show(text); err != nil {
		return err
	}
	// The question stands beside what it is about, however much the requester had to
	// say.
	if strings.Count(text, "\n") > longStatement {
		if err := a.showAgain(text); err != nil {
			return err
		}
	}
	a.say("signing with %s", pen.name)
	if err := a.confirm(cmd.Context(), w.question, f.yes); err != nil {
		return err
	}
	armored, err := pen.write(cmd.Context(), w.namespace, text)
	if err != nil {
		return err
	}
	return send(armored)
}

// A statement of more than longStatement lines may have scrolled away; its first
// statementHead, from the title to the digest, are shown again.
const (
	longStatement = 20
	statementHead = 7
)

// show shows a text of somebody else's on stderr.
func (a *app) show(text string) error {
	if text == "" {
		return nil
	}
	if _, err := io.WriteString(a.stderr, framed(text, width(a.stderr))); err != nil {
		return fmt.Errorf("showing what is to be signed: %w", err)
	}
	return nil
}

// showAgain shows the beginning of a statement that may have scrolled away.
func (a *app) showAgain(text string) error {
	lines := strings.SplitAfter(text, "\n")
	if _, err := io.WriteString(a.stderr, "...\n"); err != nil {
		return fmt.Errorf("showing what is to be signed: %w", err)
	}
	return a.show(strings.Join(lines[:min(len(lines), statementHead)], ""))
}

// printForKeygen writes the statement, and says how plain ssh-keygen signs it.
func (a *app) printForKeygen(target, text string, w *word) error {
	if target == "-" {
		a.say("sign this, for example in a file named statement, with: ssh-keygen -Y sign -f KEY -n %s statement", w.namespace)
		a.say("then: %s --sshsig statement.sig", w.again)
		return a.print(text)
	}
	if err := outfile.Check(target); err != nil {
		return &inputError{err: fmt.Errorf("--print: %w", err)}
	}
	if err := outfile.WriteFile(target, []byte(text)); err != nil {
		return err
	}
	return a.print(fmt.Sprintf("ssh-keygen -Y sign -f KEY -n %s %s\n%s --sshsig %s\n",
		w.namespace, shellWord(target), w.again, shellWord(target+".sig")))
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./,:@%+][A-Za-z0-9_./,:@%+-]*$`)

// shellWord is a word as a POSIX shell reads it.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// readSSHSig reads what ssh-keygen has written.
func (a *app) readSSHSig(name string) (string, error) {
	data, err := a.readFileOrStdin(name, maxSSHSig)
	if err != nil {
		return "", &inputError{err: fmt.Errorf("--sshsig: %w", err)}
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	if !strings.HasPrefix(text, "-----BEGIN SSH SIGNATURE-----\n") {
		err := errors.New("--sshsig: found no armored SSH signature")
		return "", &inputError{err: err, hint: "it is what ssh-keygen -Y sign writes, often to a file whose name ends with .sig"}
	}
	return text, nil
}
