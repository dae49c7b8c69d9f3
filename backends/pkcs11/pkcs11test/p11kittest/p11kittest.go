// Package p11kittest puts a p11-kit server between a test and a real PKCS#11 module.
// The server stands for a network HSM: it can be killed, frozen, slow (with a fake
// module behind it, see package faultmodule) and come back, and what its
// clients see of it is what real clients of a real remote token see.
package p11kittest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/backends/pkcs11/pkcs11test/subprocess"
)

// patience is how long the server may take to start.
const patience = 60 * time.Second

// Server is a p11-kit server, running or not.
type Server struct {
	// ModulePath is the client's module, which finds the server through the
	// environment of the test.
	ModulePath string

	t        testing.TB
	socket   string
	provider string
	token    string
	process  *subprocess.Process
}

// New starts a server for one token of the module provider and sets
// P11_KIT_SERVER_ADDRESS for the test, which therefore cannot be parallel. The
// label must need no escaping in a URI.
func New(t testing.TB, provider, label string) *Server {
	t.Helper()
	// A test's own directory may have too long a name for a socket in it.
	dir, err := os.MkdirTemp("", "p11kit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &Server{ModulePath: client(t), t: t, socket: filepath.Join(dir, "s"), provider: provider, token: "pkcs11:token=" + label}
	t.Setenv("P11_KIT_SERVER_ADDRESS", "unix:path="+s.socket)
	s.Start()
	return s
}

// client returns the path of the client's module.
func client(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/pkcs11/p11-kit-client.so")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(found, "/usr/lib64/pkcs11/p11-kit-client.so", "/usr/lib/pkcs11/p11-kit-client.so") {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("p11-kit is needed for this test; install it with: apt-get install p11-kit p11-kit-modules")
	return ""
}

// Start starts the server, which must not be running, and returns when it takes
// connections.
func (s *Server) Start() {
	s.t.Helper()
	_ = os.Remove(s.socket) // a killed server leaves it behind
	s.process = subprocess.Start(s.t, exec.Command("p11-kit", "server", "-f", "-n", s.socket, "--provider", s.provider, s.token))
	s.process.Wait(s.t, patience, "the p11-kit server to listen", func() bool {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// Kill kills the server and what it started for its clients, with SIGKILL.
func (s *Server) Kill() {
	s.t.Helper()
	s.process.Kill(s.t)
}

// Freeze stops the server: it keeps its connections and takes new ones, and
// answers to none.
func (s *Server) Freeze() {
	s.t.Helper()
	s.process.Signal(s.t, syscall.SIGSTOP)
}

// Thaw has a frozen server go on.
func (s *Server) Thaw() {
	s.t.Helper()
	s.process.Signal(s.t, syscall.SIGCONT)
}
