package client

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// reportPrefix begins the line with which dial-stdio says on stderr why it did not
// reach the daemon. What follows is the JSON of a [stdioReport]. Both are stable:
// the two sides need not be of the same release.
const reportPrefix = "bundlesign: dial-stdio: "

type stdioReport struct {
	Socket string      `json:"socket"`
	Reason Unreachable `json:"reason"`
	Detail string      `json:"detail,omitempty"`
	Group  string      `json:"group,omitempty"`
}

// report writes the line for the other side.
func (e *UnreachableError) report(w io.Writer) error {
	line, err := json.Marshal(stdioReport{Socket: e.Socket, Reason: e.Reason, Detail: e.Detail, Group: e.Group})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", reportPrefix, line)
	return err
}

// reportable are the reasons that dial-stdio can have.
var reportable = []Unreachable{NoSocket, NotASocket, PathTooLong, NotListening, NoPermission, Overloaded, Lost, BadAddress, OtherReason}

// What a shell's exit code says of the command that it was to run (POSIX, 2.8.2),
// and ssh's own of everything else (ssh(1), "exit status").
const (
	exitNotExecutable = 126
	exitNoCommand     = 127
	exitSSH           = 255
)

// sshFailure says why an ssh process did not lead to the daemon, from what it said
// and its exit code (-1: it was killed). It returns nil if the connection was there
// and ended in good order.
func sshFailure(address, stderr string, code int, answered bool) *UnreachableError {
	e := &UnreachableError{Socket: address, Reason: OtherReason, Detail: said(stderr)}
	if r := reportIn(stderr); r != nil {
		e.Reason, e.Group = r.Reason, onlyPrintable(r.Group)
		e.Detail = onlyPrintable(r.Socket) + " there"
		if r.Detail != "" {
			e.Detail += ": " + onlyPrintable(r.Detail)
		}
		return e
	}
	switch {
	case code == 0 && answered:
		return nil
	case code == 0, answered:
		e.Reason = Lost
	case code == exitNoCommand, code == exitNotExecutable:
		e.Reason = NoProgram
	case code == exitSSH, code == -1:
		e.Reason = SSHFailed
	case e.Detail == "":
		e.Detail = fmt.Sprintf("what ssh ran there ended with exit code %d and said nothing", code)
	}
	return e
}

// reportIn finds the report of dial-stdio among what ssh and the host's banner say.
func reportIn(stderr string) *stdioReport {
	for line := range strings.Lines(stderr) {
		text, found := strings.CutPrefix(strings.TrimSpace(line), reportPrefix)
		r := new(stdioReport)
		if found && json.Unmarshal([]byte(text), r) == nil && slices.Contains(reportable, r.Reason) {
			return r
		}
	}
	return nil
}

// said shortens what ssh has said to its last lines, where the reason is, in one.
func said(stderr string) string {
	const lines, most = 3, 300
	var all []string
	for line := range strings.Lines(stderr) {
		if text := onlyPrintable(strings.TrimSpace(line)); text != "" {
			all = append(all, text)
		}
	}
	return onlyPrintable(shorten(strings.Join(all[max(0, len(all)-lines):], "; "), most))
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return "..." + s[len(s)-most:]
}

// onlyPrintable replaces what could play with a terminal.
func onlyPrintable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, shorten(s, 1000))
}
