package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/logtree"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// hint says what the user can try, or nothing.
func hint(err error) string {
	var (
		usage       *usageError
		input       *inputError
		failed      *verificationError
		untrusted   *client.UntrustedError
		rewritten   *logtree.RewrittenError
		pending     *client.PendingError
		state       *client.StateError
		unreachable *client.UnreachableError
		problem     *wire.Problem
		proto       *client.ProtocolError
		undelivered *undeliveredError
	)
	switch {
	case errors.As(err, &undelivered):
		if undelivered.written == "" {
			return "make room where stdout goes, or send it elsewhere"
		}
		return "make room where stdout goes, or send it elsewhere; the same command then gives the same result"
	case errors.As(err, &failed):
		return failed.hint
	case errors.As(err, &untrusted):
		return "nothing was written; do not use this answer, and tell whoever runs bundlesignd"
	case errors.As(err, &rewritten):
		return "keep the old copy: it is the evidence; tell whoever runs bundlesignd and whoever audits it"
	case errors.As(err, &usage):
		return "see " + usage.command + " --help"
	case errors.As(err, &input):
		return input.hint
	case errors.As(err, &pending):
		return fmt.Sprintf("the same command goes on waiting for the same request; bundlesign show %s tells how it is", pending.Signature.ID)
	case errors.As(err, &state):
		return fmt.Sprintf("bundlesign show %s tells more", state.Signature.ID)
	case publish.Hint(err) != "":
		return publish.Hint(err)
	case errors.As(err, &unreachable):
		return reach(unreachable)
	case errors.As(err, &problem):
		return problemHint(problem)
	case errors.As(err, &proto):
		return "is this the socket of bundlesignd, and of the same version? (bundlesign status)"
	case noRoom(err):
		return "make room, or choose another place with --output; nothing was left behind"
	}
	return ""
}

// noRoom reports whether there was no place to write to.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// reach says how a daemon can be reached.
func reach(e *client.UnreachableError) string {
	const other = "or name its socket with --socket or BUNDLESIGN_SOCKET"
	switch e.Reason {
	case client.NoSocket, client.NotListening:
		return "start bundlesignd (systemctl start bundlesignd), " + other
	case client.NotASocket:
		return "name the socket of bundlesignd with --socket or BUNDLESIGN_SOCKET"
	case client.PathTooLong:
		return "use a shorter path, for example one relative to the current folder"
	case client.NoPermission:
		if e.Group != "" && e.Group != "root" {
			return fmt.Sprintf("ask to become a member of group %s, then log in again", e.Group)
		}
		return "ask whoever runs bundlesignd for access to its socket (socket.group and socket.mode of its configuration)"
	case client.BadAddress:
		return "such as ssh://deploy@signer.example, " + other
	case client.NoSSH:
		return "install OpenSSH's client, " + other
	case client.SSHFailed:
		return "try the same by hand: ssh HOST bundlesign version; it asks nothing here, so keys belong into an ssh-agent and the host into known_hosts"
	case client.NoProgram:
		return "install bundlesign there, where the shell of a command over ssh finds it: ssh HOST bundlesign version"
	case client.Lost, client.NoAnswer, client.Overloaded:
		return "see the daemon's journal (journalctl -u bundlesignd) and try again"
	}
	return ""
}

func problemHint(p *wire.Problem) string {
	switch p.Type {
	case wire.ProblemDenied:
		if p.RequestID != "" {
			return fmt.Sprintf("the denial is on record as request %s; ask whoever keeps the policy", p.RequestID)
		}
	case wire.ProblemApproval:
		return "bundlesign show tells who could still agree, and what to; if the policy has changed there is a new statement"
	case wire.ProblemNoKey:
		return "bundlesign keys lists the keys and their apps"
	case wire.ProblemKeyReuse:
		return "leave --idempotency-key out, or choose one that was not used for another submission"
	case wire.ProblemKeyUnavailable, wire.ProblemKeyUnusable, wire.ProblemStore, wire.ProblemClock:
		return "bundlesign status says which part is not well"
	case wire.ProblemTooMany, wire.ProblemBusy, wire.ProblemStopping:
		return "try again in a moment"
	case wire.ProblemFailed:
		if p.RequestID != "" {
			return fmt.Sprintf("bundlesign show %s tells more; the same command asks anew", p.RequestID)
		}
	}
	return ""
}
