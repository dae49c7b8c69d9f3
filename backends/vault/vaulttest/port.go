package vaulttest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// reservePort returns an address on loopback that is the test's until it ends, also while
// no Vault listens there: somebody else who is given a free port gets another one, and
// who connects to it is refused. It is held by a socket that is bound and does not
// listen; with SO_REUSEPORT (socket(7)) Vault may bind beside it.
func reservePort(t testing.TB) string {
	t.Helper()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("reserving a port: %s: %v", what, err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must("socket", err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must("SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	must("SO_REUSEADDR", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	must("bind", unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	bound, err := unix.Getsockname(fd)
	must("getsockname", err)
	return fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
}
