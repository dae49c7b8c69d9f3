// Package vaulttest gives tests a real Vault: a process on loopback, with TLS, a
// transit engine and the auth methods of backends/vault. Which release it is,
// [VersionVariable] says.
//
// Its invariant is that each test has a Vault of its own, which ends with the test.
// Only tests import it.
package vaulttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// patience bounds what a machine that works does in a second.
const patience = time.Minute

// Server is a Vault.
type Server struct {
	Address string // https://127.0.0.1:PORT, the same after a restart
	CAFile  string // the authority of its certificate
	Version string // one of [Versions]
	Root    *api.Client

	t         testing.TB
	ca        *authority
	dir       string
	unsealKey string
	process   *exec.Cmd
	stdin     io.Closer
	stderr    *bytes.Buffer
}

// New starts a Vault with an empty transit engine at "transit".
func New(t testing.TB) *Server {
	t.Helper()
	version, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: t.TempDir(), ca: newAuthority(t), Version: version}
	s.CAFile = s.ca.file(t)
	hello := s.start(reservePort(t))
	s.unsealKey = hello.UnsealKey
	transport := &http.Transport{TLSClientConfig: s.ca.clientConfig()}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := api.NewClient(&api.Config{Address: s.Address, HttpClient: &http.Client{Transport: transport}})
	s.must(err)
	client.ClearNamespace()
	client.SetToken(hello.RootToken)
	s.Root = client
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("vault said:\n%s", s.stderr)
		}
	})
	s.Write("sys/mounts/transit", map[string]any{"type": "transit"})
	return s
}

type hello struct {
	Address   string `json:"address"`
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"`
}

func (s *Server) start(address string) hello {
	s.t.Helper()
	program, err := Build(s.t.Context(), s.Version, func(text string) { s.t.Log(text) })
	if err != nil {
		s.t.Fatalf("the tests need a Vault, which is built from the Go module proxy: %v", err)
	}
	certFile, keyFile := s.ca.server(s.t, s.dir)
	s.process = exec.Command(program, "-dir", filepath.Join(s.dir, "state"), "-addr", address, "-cert", certFile, "-key", keyFile)
	s.process.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	s.stderr = new(bytes.Buffer)
	s.process.Stderr = s.stderr
	s.stdin, err = s.process.StdinPipe()
	s.must(err)
	stdout, err := s.process.StdoutPipe()
	s.must(err)
	s.must(s.process.Start())
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		_ = s.stdin.Close()
		_ = s.process.Wait()
		s.process = nil
		s.t.Fatalf("vault did not start: %v\n%s", err, s.stderr)
	}
	var h hello
	s.must(json.Unmarshal(line, &h))
	s.Address = h.Address
	return h
}

// Stop ends the process; the state stays.
func (s *Server) Stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.stdin.Close()
	_ = s.process.Wait()
	s.process = nil
}

// Start starts the process again, at the same address, and unseals it.
func (s *Server) Start() {
	s.t.Helper()
	s.start(strings.TrimPrefix(s.Address, "https://"))
	s.Unseal()
}

// Seal seals Vault: it answers 503 until it is unsealed.
func (s *Server) Seal() {
	s.t.Helper()
	s.must(s.Root.Sys().Seal())
}

// Unseal undoes Seal.
func (s *Server) Unseal() {
	s.t.Helper()
	_, err := s.Root.Sys().Unseal(s.unsealKey)
	s.must(err)
	// The engines are there a little later.
	deadline := time.Now().Add(patience)
	for {
		_, err := s.Root.Logical().Read("sys/mounts")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("vault is not back: %v", err)
		}
	}
}

// Write writes to a path of Vault's API as root, and returns the answer's data.
func (s *Server) Write(path string, data map[string]any) map[string]any {
	s.t.Helper()
	secret, err := s.Root.Logical().Write(path, data)
	s.must(err)
	if secret == nil {
		return nil
	}
	return secret.Data
}

// Read reads a path as root.
func (s *Server) Read(path string) map[string]any {
	s.t.Helper()
	secret, err := s.Root.Logical().Read(path)
	s.must(err)
	if secret == nil {
		s.t.Fatalf("there is nothing at %s", path)
	}
	return secret.Data
}

// Delete deletes a path as root.
func (s *Server) Delete(path string) {
	s.t.Helper()
	_, err := s.Root.Logical().Delete(path)
	s.must(err)
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
