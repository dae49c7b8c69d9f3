package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// sshd is a real OpenSSH server of a script's own: it listens here, and each
// connection has an sshd in inetd mode, with its own host key and configuration.
// It lets the user of the test in, and nobody where that is root, with these keys:
//
//	ssh/key         anything
//	ssh/locked      only dial-stdio, as docs/remote.md has it
//	ssh/forward     only forwarding of sockets, as there
//	ssh/other       only a command that does not exist
//	ssh/stranger    not at all
//
// $SSHHOST is ssh://USER@127.0.0.1:PORT. The ssh of the script's PATH is the real
// one with a configuration of its own, which takes the key that $SSHKEY names; it
// leaves its process ids in ssh/pids. The commands that are run over it find the
// bundlesign under test, and d.sock.
type sshd struct {
	program, config string
	listener        net.Listener
	serving         sync.WaitGroup

	mu     sync.Mutex
	closed bool
	live   map[*exec.Cmd]bool
}

func startSSHD(env *testscript.Env) error {
	program, err := exec.LookPath("sshd")
	if err != nil {
		program = "/usr/sbin/sshd" // which a user's PATH may not have
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w; scripts/install-deps installs openssh-server", err)
	}
	real, err := exec.LookPath("ssh")
	if err != nil {
		return fmt.Errorf("%w; scripts/install-deps installs openssh-client", err)
	}
	if os.Getuid() == 0 { // where sshd puts away its unprivileged part
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, "ssh")
	s := &sshd{program: program, config: filepath.Join(dir, "sshd_config"), listener: l, live: make(map[*exec.Cmd]bool)}
	env.Defer(s.stop)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	if err := s.write(dir, port, real, env); err != nil {
		return err
	}
	env.Setenv("SSHHOST", "ssh://"+me.Username+"@127.0.0.1:"+port)
	env.Setenv("SSHUSER", me.Username)
	env.Setenv("SSHPORT", port)
	env.Setenv("SSHKEY", filepath.Join(dir, "key"))
	env.Setenv("PATH", dir+string(os.PathListSeparator)+env.Getenv("PATH"))
	s.serving.Go(s.serve)
	return nil
}

// write makes the keys and files.
func (s *sshd) write(dir, port, realSSH string, env *testscript.Env) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	public := make(map[string]string)
	for _, name := range []string{"host", "key", "locked", "forward", "other", "stranger"} {
		pub, secret, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		block, err := ssh.MarshalPrivateKey(secret, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
		key, err := ssh.NewPublicKey(pub)
		if err != nil {
			return err
		}
		public[name] = string(ssh.MarshalAuthorizedKey(key))
	}
	for _, f := range []struct {
		name, text string
		mode       fs.FileMode
	}{
		{"sshd_config", fmt.Sprintf(`HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized_keys
StrictModes no
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel ERROR
SetEnv PATH=%[2]s BUNDLESIGN_SOCKET=%[3]s/d.sock
`, dir, env.Getenv("PATH"), env.WorkDir), 0o644},
		{"authorized_keys", public["key"] +
			`restrict,command="bundlesign dial-stdio" ` + public["locked"] +
			`restrict,port-forwarding,command="false" ` + public["forward"] +
			`restrict,command="no-such-program" ` + public["other"], 0o644},
		{"known_hosts", "[127.0.0.1]:" + port + " " + public["host"], 0o644},
		{"config", fmt.Sprintf(`IdentitiesOnly yes
UserKnownHostsFile %[1]s/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
LogLevel INFO
`, dir), 0o644},
		{"pids", "", 0o644},
		{"ssh", fmt.Sprintf("#!/bin/sh\necho $$ >>%[1]s/pids\nexec %[2]s -F %[1]s/config -i \"$SSHKEY\" \"$@\"\n", dir, realSSH), 0o755},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// serve gives each connection its sshd, until [sshd.stop].
func (s *sshd) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			continue
		}
		cmd := exec.Command(s.program, "-i", "-e", "-f", s.config)
		cmd.Stdin, cmd.Stdout = file, file
		s.mu.Lock()
		started := !s.closed && cmd.Start() == nil
		s.live[cmd] = started
		s.mu.Unlock()
		_ = file.Close()
		if started {
			s.serving.Go(func() {
				_ = cmd.Wait()
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.live, cmd)
			})
		}
	}
}

func (s *sshd) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for cmd, started := range s.live {
		if started {
			_ = cmd.Process.Kill()
		}
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// closedPort is one that nobody listens on.
func closedPort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return strconv.Itoa(port), l.Close()
}

// setupSSH prepares the scripts in testdata/ssh.
func setupSSH(env *testscript.Env) error {
	port, err := closedPort()
	env.Setenv("CLOSEDPORT", port)
	env.Setenv("UID", strconv.Itoa(os.Getuid()))
	return errors.Join(err, startSSHD(env))
}
