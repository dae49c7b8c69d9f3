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

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/client"
)

// begun asks for the request that is resumed, before anything is read, and takes
// from it what was not said.
func (s *signing) begun(ctx context.Context) (err error) {
	c := s.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	r, err := c.Signature(ctx, s.f.resume)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		said  *string
		found string
	}{
		{"app", &s.sub.AppID, r.AppID},
		{"channel", &s.sub.Channel, r.Channel},
		{"version", &s.sub.Version, r.Version},
	} {
		if *f.said != "" && *f.said != f.found {
			return s.another(r, "it is for %s %q, and this is %q", f.name, f.found, *f.said)
		}
		*f.said = f.found
	}
	if r.ChecksumFormat != s.sub.ChecksumFormat {
		return s.another(r, "its checksum has the %s form, and the app's updater takes %s", r.ChecksumFormat, s.sub.ChecksumFormat)
	}
	if len(r.Also) != len(s.sub.Also) {
		return s.another(r, "it is signed with %d further keys, and here are %d; see --also-key", len(r.Also), len(s.sub.Also))
	}
	s.earlier = r
	return nil
}

// continues checks that the request is about the bundle at hand.
func (s *signing) continues() error {
	r := s.earlier
	if !strings.EqualFold(r.Digest, s.sub.Digest) {
		return s.another(r, "its bundle has the SHA-256 %s, and %s has %s", r.Digest, s.in.path, s.sub.Digest)
	}
	if len(r.Files) != len(s.sub.Files) {
		return s.another(r, "it has %d files of a delta update, and here are %d; give --delta if it was made with it", len(r.Files), len(s.sub.Files))
	}
	for i, f := range r.Files {
		if f.FileName != s.sub.Files[i].FileName || !strings.EqualFold(f.Digest, s.sub.Files[i].Digest) {
			return s.another(r, "its file %q is not the one that is here", f.FileName)
		}
	}
	return nil
}

// resumed waits for a request that was made before.
func (s *signing) resumed(ctx context.Context, c *client.Client) (*wire.Signature, error) {
	if err := s.continues(); err != nil {
		return nil, err
	}
	if s.f.noWait {
		ctx, cancel := context.WithTimeout(ctx, briefly)
		defer cancel()
		answer, err := c.Signature(ctx, s.f.resume)
		if err != nil {
			return nil, err
		}
		switch answer.State {
		case client.StateSigned, client.StatePending, client.StateAuthorized:
			return s.first(answer)
		}
		return nil, &client.StateError{Signature: answer}
	}
	waiting, stop := context.WithTimeout(ctx, s.f.wait)
	defer stop()
	answer, err := c.Wait(waiting, s.f.resume)
	if err != nil && ctx.Err() != nil {
		return nil, s.interrupted(c, err)
	}
	return answer, err
}

func (s *signing) another(r *wire.Signature, format string, args ...any) error {
	return &inputError{
		err:  fmt.Errorf("request %s is not about this: %s", r.ID, fmt.Sprintf(format, args...)),
		hint: "without --resume a request of its own is made",
	}
}

// interrupted is what happens to a request whose requester does not want to wait
// any more: a person is asked, everybody else is told how to go on.
func (s *signing) interrupted(c *client.Client, err error) error {
	s.unhook() // before anything is asked: who interrupts again means it
	s.progress.end()
	var pending *client.PendingError
	if !errors.As(err, &pending) {
		return err
	}
	id := pending.Signature.ID
	if !s.agrees(fmt.Sprintf("Take back request %s?", id)) {
		s.say("request %s goes on without you; to go on waiting: the same command, or bundlesign sign --resume %s; to take it back: bundlesign cancel %s", id, id, id)
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), briefly)
	defer cancel()
	ended, cancelErr := c.Cancel(ctx, id)
	if cancelErr != nil {
		return fmt.Errorf("request %s could not be taken back: %w", id, cancelErr)
	}
	return &client.StateError{Signature: ended}
}

// agrees asks a person, if there is one. A second interruption ends the program.
func (s *signing) agrees(question string) bool {
	in, ok := s.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	if err, ok := s.stderr.(*os.File); !ok || !term.IsTerminal(int(err.Fd())) {
		return false
	}
	fmt.Fprintf(s.stderr, "\n%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(in, maxTyped)).ReadString('\n')
	if err != nil {
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
