package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/client/clienttest"
)

// session is a folder with a bundle, and a fake daemon.
type session struct {
	daemon *clienttest.FakeDaemon
	dir    string
	bundle string
	pem    string
}

func newSession(t *testing.T) *session {
	t.Helper()
	s := &session{dir: t.TempDir()}
	var err error
	if s.daemon, err = clienttest.NewFakeDaemon(filepath.Join(t.TempDir(), "s"), clienttest.Faults{}); err != nil {
		t.Fatal(err)
	}
	if err := s.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.daemon.Stop)
	s.bundle = filepath.Join(s.dir, "app.zip")
	s.pem = filepath.Join(t.TempDir(), "public.pem")
	for name, data := range map[string]string{s.bundle: string(smallBundle()), s.pem: s.daemon.PublicKey().PEM()} {
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs a command against the daemon.
func (s *session) run(args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	env := func(name string) string {
		if name == "BUNDLESIGN_SOCKET" {
			return s.daemon.Socket()
		}
		return ""
	}
	code = run(args, strings.NewReader(""), &out, &errOut, env)
	return code, out.String(), errOut.String()
}

func (s *session) sign(more ...string) (code int, stdout, stderr string) {
	return s.run(append([]string{"sign", s.bundle, "--app", "com.example.app", "--channel", "production", "--version", "1.2.3"}, more...)...)
}

func (s *session) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestSignWritesNothingWhenTheDaemonLies(t *testing.T) {
	s := newSession(t)
	for _, lie := range clienttest.Lies() {
		s.daemon.SetFaults(clienttest.Faults{Lie: lie})
		code, stdout, stderr := s.sign("--public-key", s.pem, "--log-key", s.daemon.LogKey())
		if code != exitUntrusted || stdout != "" || !strings.Contains(stderr, "the daemon's answer is not to be trusted: ") {
			t.Errorf("%s: found exit code %d, stdout %q, stderr %q; want code 6 and nothing on stdout", lie, code, stdout, stderr)
		}
		if found := s.files(t); !slices.Equal(found, []string{"app.zip"}) {
			t.Errorf("%s: found the files %v, want the bundle alone", lie, found)
		}
	}
}

func TestSignWithoutPinsBelievesAForeignKey(t *testing.T) {
	// It cannot know better: the documentation says so, and why to pin.
	s := newSession(t)
	s.daemon.SetFaults(clienttest.Faults{Lie: clienttest.ForeignKey})
	if code, _, stderr := s.sign(); code != exitOK {
		t.Errorf("found exit code %d and %q", code, stderr)
	}
}

func TestSignSurvivesARestartOfTheDaemon(t *testing.T) {
	s := newSession(t)
	s.daemon.SetFaults(clienttest.Faults{Polls: 3})
	// The daemon goes while the first poll is due, and comes back once the client
	// has said that it cannot reach it.
	restart := &restarter{daemon: s.daemon}
	env := func(name string) string { return map[string]string{"BUNDLESIGN_SOCKET": s.daemon.Socket()}[name] }
	var stdout bytes.Buffer
	args := []string{"sign", s.bundle, "--app", "com.example.app", "--channel", "production", "--version", "1.2.3"}
	code := run(args, strings.NewReader(""), &stdout, restart, env)
	if code != exitOK || restart.step != 2 || restart.err != nil {
		t.Errorf("found exit code %d after step %d (error %v), stderr %q; want 0", code, restart.step, restart.err, restart.said.String())
	}
	if _, requests := s.daemon.Counts(); requests != 1 {
		t.Errorf("found %d requests, want 1", requests)
	}
}

func TestEncryptingStopsWhenInterrupted(t *testing.T) {
	s := newSession(t)
	b, err := openBundle(s.bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	digest, err := b.hash(t.Context(), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(s.daemon.Socket())
	defer c.Close()
	answer, err := c.Submit(t.Context(), &wire.Submit{Digest: digest.String()}, "")
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := capgo.ParseWrappedKey(answer.SessionKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.daemon.PublicKey().Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = b.encryptTo(ctx, s.bundle+encryptedSuffix, digest, key, wrapped.IV, func(int64) {})
	if exitCode(err) != exitInternal || !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want the interruption", err)
	}
	if found := s.files(t); !slices.Equal(found, []string{"app.zip"}) {
		t.Errorf("found the files %v, want the bundle alone", found)
	}
}

// restarter is a stderr that stops the daemon when the client says that it
// waits, and starts it when the client says that it is gone.
type restarter struct {
	daemon *clienttest.FakeDaemon
	said   bytes.Buffer
	step   int
	err    error
}

func (r *restarter) Write(p []byte) (int, error) {
	switch {
	case r.step == 0 && bytes.Contains(p, []byte("is pending")):
		r.daemon.Stop()
		r.step++
	case r.step == 1 && bytes.Contains(p, []byte("trying again")):
		r.err = r.daemon.Start()
		r.step++
	}
	return r.said.Write(p)
}
