package sshsig_test

import (
	"net"
	"testing"
)

// silentAgent accepts one connection at a socket and never answers.
func silentAgent(t *testing.T, socket string) (accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		close(c)
		_, _ = conn.Read(make([]byte, 1<<10))
		_, _ = conn.Read(make([]byte, 1)) // until the other end is closed
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return c
}
