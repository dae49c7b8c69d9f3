package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// launchWith starts the daemon as systemd does, with open sockets from file
// descriptor 3 on (sd_listen_fds(3)).
func launchWith(t *testing.T, dir string, sockets ...*os.File) *process {
	t.Helper()
	daemon := bundlesignd("serve", "--config", filepath.Join(dir, "config.yaml"))
	// LISTEN_PID is the daemon's own pid, which is that of the shell before it.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, daemon.Args...)...)
	cmd.Env = append(daemon.Env, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)))
	cmd.ExtraFiles = sockets
	return launchCommand(t, dir, cmd)
}

// listening returns a listening socket, and its file as systemd would pass it.
func listening(t *testing.T, network, address string) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return l, f
}

// A socket from systemd is served, whatever the configuration says, and is still
// there after a stop, for the next start.
func TestSocketActivation(t *testing.T) {
	dir := initialized(t)
	path := filepath.Join(dir, "bundlesignd.sock") // where the client looks
	edit(t, dir, "path: bundlesignd.sock", "path: nowhere/other.sock")
	_, socket := listening(t, "unix", path)
	for i := range 2 {
		d := launchWith(t, dir, socket)
		d.ready()
		if _, err := d.client.SubmitAndWait(t.Context(), bundle(i), ""); err != nil {
			t.Fatalf("start %d: %v\n%s", i+1, err, d.log)
		}
		d.stop()
		if info, err := os.Stat(path); err != nil || info.Mode().Type() != os.ModeSocket {
			t.Fatalf("after stop %d the socket of systemd is gone: %v", i+1, err)
		}
		if strings.Contains(d.log.String(), "socket.path") {
			t.Errorf("it speaks of a path that does not matter:\n%s", d.log)
		}
	}
}

func TestSocketActivationRefuses(t *testing.T) {
	dir := initialized(t)
	_, one := listening(t, "unix", filepath.Join(dir, "one"))
	_, two := listening(t, "unix", filepath.Join(dir, "two"))
	_, tcp := listening(t, "tcp", "127.0.0.1:0")
	for name, c := range map[string]struct {
		sockets []*os.File
		want    string
	}{
		"two":                {[]*os.File{one, two}, "systemd passed 2 sockets, want one ListenStream"},
		"TCP":                {[]*os.File{tcp}, "not a Unix stream socket"},
		"no socket":          {[]*os.File{openNull(t)}, "not a Unix stream socket"},
		"one that is not on": {[]*os.File{datagram(t, dir)}, "not a Unix stream socket"},
	} {
		d := launchWith(t, dir, c.sockets...)
		d.exits(1)
		if !strings.Contains(d.log.String(), c.want) {
			t.Errorf("%s: found\n%swant %q", name, d.log, c.want)
		}
	}
}

func openNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func datagram(t *testing.T, dir string) *os.File {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "datagram"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// manager is the end of systemd: it reads what the daemon says of itself
// (sd_notify(3)).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t, conn}
}

// next returns the next message.
func (m *manager) next() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatalf("the daemon says nothing: %v", err)
	}
	return string(bytes.TrimSpace(buf[:n]))
}

func TestNotify(t *testing.T) {
	m := newManager(t)
	d := launch(t, initialized(t))
	if got := m.next(); got != "READY=1" {
		t.Fatalf("found %q, want READY=1", got)
	}
	// Who is told that it is ready may ask at once.
	if _, err := d.client.Status(t.Context()); err != nil {
		t.Errorf("READY=1 came too early: %v", err)
	}
	for _, what := range []string{"a good policy", "a bad one"} {
		if what == "a bad one" {
			if err := os.WriteFile(filepath.Join(d.dir, "policy.yaml"), []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := monotonic(t)
		if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		state, stamp, _ := strings.Cut(m.next(), "\n")
		usec, err := strconv.ParseInt(strings.TrimPrefix(stamp, "MONOTONIC_USEC="), 10, 64)
		if state != "RELOADING=1" || err != nil || usec < before || usec > monotonic(t) {
			t.Errorf("%s: found %q with %q (%v), want RELOADING=1 and the time now", what, state, stamp, err)
		}
		if got := m.next(); got != "READY=1" {
			t.Errorf("%s: found %q, want READY=1 when it has reloaded", what, got)
		}
	}
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := m.next(); got != "STOPPING=1" {
		t.Errorf("found %q, want STOPPING=1", got)
	}
	d.exits(0)
}

// monotonic is CLOCK_MONOTONIC in microseconds.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() / 1000
}

// The socket is for the configured group, with the configured mode.
func TestSocketGroup(t *testing.T) {
	gid := os.Getegid()
	if gid == 0 {
		gid = 1 // one that root would not get by itself
	}
	g, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		t.Fatal(err)
	}
	dir := initialized(t)
	edit(t, dir, `mode: "0660"`, `mode: "0620"`)
	edit(t, dir, `group: ""`, "group: "+g.Name)
	startDaemon(t, dir)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "bundlesignd.sock"), &st); err != nil {
		t.Fatal(err)
	}
	if int(st.Gid) != gid || st.Mode&0o7777 != 0o620 {
		t.Errorf("found the socket with group %d and mode %04o, want group %d and mode 0620", st.Gid, st.Mode&0o7777, gid)
	}
}
