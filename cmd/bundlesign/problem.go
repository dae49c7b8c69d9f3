package main

import (
	"context"
	"errors"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
)

// document is an error on stdout with --json: a problem document (RFC 9457),
// from the daemon or, with a type of its own, from bundlesign itself.
type document struct {
	wire.Problem
	Status   int     `json:"status,omitempty"` // of HTTP, if the daemon said it
	Hint     string  `json:"hint,omitempty"`
	ExitCode int     `json:"exit_code"`
	Checks   []check `json:"checks,omitempty"` // of verify
	// Missing and ExpiresAt are of a request that is still pending.
	Missing   []wire.Missing `json:"missing,omitempty"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty"`
}

// The types of problem that bundlesign itself finds, by exit code. A problem of
// the daemon keeps its own type.
func clientProblem(code int) (typ, title string) {
	const prefix = "urn:bundlesign:client-problem:"
	switch code {
	case exitBadInput:
		return prefix + "bad-input", "Bad input"
	case exitDenied:
		return prefix + "denied", "Denied"
	case exitPending:
		return prefix + "pending", "Still pending"
	case exitUnavailable:
		return prefix + "unavailable", "Daemon unavailable"
	case exitUntrusted:
		return prefix + "not-trusted", "Not to be trusted"
	}
	return prefix + "internal", "Internal error"
}

// finish tells the user how it ended and returns the exit code.
func (a *app) finish(err error, asJSON bool) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if errors.Is(err, context.Canceled) {
		a.say("interrupted")
	}
	a.say("%v", err)
	help := hint(err)
	if help != "" {
		a.say("hint: %s", help)
	}
	var degraded *degradedError
	var unhealthy *unhealthyError
	var undelivered *undeliveredError
	// A status and a doctor's report are their own documents; where a result cannot be
	// written, an error cannot.
	if asJSON && !errors.As(err, &degraded) && !errors.As(err, &unhealthy) && !errors.As(err, &undelivered) {
		if printErr := a.printJSON(problemDocument(err, code, help)); printErr != nil {
			a.say("%v", printErr)
		}
	}
	return code
}

func problemDocument(err error, code int, help string) *document {
	d := &document{ExitCode: code, Hint: help}
	var (
		problem *wire.Problem
		pending *client.PendingError
		state   *client.StateError
		failed  *verificationError
	)
	switch {
	case errors.As(err, &problem):
		d.Problem, d.Status = *problem, problem.Status
	case errors.As(err, &pending):
		d.RequestID, d.State, d.Rule = pending.Signature.ID, pending.Signature.State, pending.Signature.Rule
		d.Missing, d.ExpiresAt = pending.Signature.Missing, pending.Signature.ExpiresAt
	case errors.As(err, &state):
		d.RequestID, d.State, d.Rule = state.Signature.ID, state.Signature.State, state.Signature.Rule
	case errors.As(err, &failed):
		d.Checks = failed.checks
	}
	if d.Type == "" {
		d.Type, d.Title = clientProblem(code)
	}
	d.Detail = err.Error()
	return d
}
