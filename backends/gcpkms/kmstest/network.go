package kmstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// valve lets bytes through while it is open.
type valve struct {
	mu     sync.Mutex
	change sync.Cond
	closed bool // for good: nothing is held back any more
	isShut bool
}

func newValve() *valve {
	v := &valve{}
	v.change.L = &v.mu
	return v
}

func (v *valve) shut()  { v.set(func() { v.isShut = true }) }
func (v *valve) open()  { v.set(func() { v.isShut = false }) }
func (v *valve) close() { v.set(func() { v.closed = true }) }

func (v *valve) set(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
	v.change.Broadcast()
}

func (v *valve) wait() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.isShut && !v.closed {
		v.change.Wait()
	}
}

// valveListener takes connections at all times, and holds back what comes and goes
// on them while the valve is shut: seen from a client, packets are lost.
type valveListener struct {
	net.Listener
	valve *valve
}

func (l valveListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return valveConn{c, l.valve}, nil
}

type valveConn struct {
	net.Conn
	valve *valve
}

func (c valveConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.valve.wait()
	return n, err
}

func (c valveConn) Write(b []byte) (int, error) {
	c.valve.wait()
	return c.Conn.Write(b)
}

func certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(48 * time.Hour), // longer than any test
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
