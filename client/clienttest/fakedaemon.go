// Package clienttest has a daemon that lies, for tests of what a client does
// about it.
//
// [FakeDaemon] speaks the socket API with a real RSA key and a real Merkle log,
// and goes wrong on order, in ways that the real bundlesignd must never show:
// wrong signatures, foreign keys, broken proofs, lost connections. It has no
// policy and keeps nothing. Whatever the real daemon can show is tested with the
// real daemon.
package clienttest

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
)

// Faults are orders to go wrong. The zero value is an honest daemon that signs
// everything at once.
type Faults struct {
	Lie   Lie    // about the result of a request
	Busy  int    // answer this many submissions with 503 and Retry-After
	Drop  int    // lose the connection of this many submissions, after recording them
	Deny  bool   // answer submissions with a denial
	Polls int    // how many polls find a request pending; negative: all
	End   string // the state in which a request that was pending ends; "" is signed
	Junk  bool   // answer everything with what is not this API
	// Statement is what people are to sign to approve a request that is pending; "ID"
	// in it stands for the request's id. Nobody can: there is no policy.
	Statement string
	// OnSubmit is called while a submission is being answered.
	OnSubmit func()
}

// FakeDaemon is the daemon. Start it with [FakeDaemon.Start].
type FakeDaemon struct {
	socket   string
	key      *rsa.PrivateKey
	otherKey func() *rsa.PrivateKey // made when first needed
	public   *capgo.PublicKey
	further  map[string]*rsa.PrivateKey // by name; made when first needed
	signer   note.Signer
	other    note.Signer
	logKey   string

	mu      sync.Mutex
	faults  Faults
	submits int                // submissions that arrived
	byKey   map[string]*record // by idempotency key
	byID    map[string]*record
	log     fakeLog
	server  *http.Server
	served  sync.WaitGroup
}

// record is one request.
type record struct {
	sig     wire.Signature
	keyName string
	polls   int // that still find it pending
}

// NewFakeDaemon makes a daemon with fresh keys that will listen at socket.
func NewFakeDaemon(socket string, faults Faults) (*FakeDaemon, error) {
	d := &FakeDaemon{
		socket: socket, faults: faults,
		byKey: make(map[string]*record), byID: make(map[string]*record), further: make(map[string]*rsa.PrivateKey),
	}
	d.otherKey = sync.OnceValue(newKey)
	var err error
	if d.key, err = rsa.GenerateKey(rand.Reader, capgo.KeyBits); err != nil {
		return nil, err
	}
	if d.public, err = capgo.NewPublicKey(&d.key.PublicKey); err != nil {
		return nil, err
	}
	if d.signer, d.logKey, err = newLogKey(); err != nil {
		return nil, err
	}
	if d.other, _, err = newLogKey(); err != nil {
		return nil, err
	}
	return d, nil
}

func newLogKey() (note.Signer, string, error) {
	secret, public, err := note.GenerateKey(rand.Reader, "fake.example/log")
	if err != nil {
		return nil, "", err
	}
	signer, err := note.NewSigner(secret)
	return signer, public, err
}

// Socket returns the path of the socket.
func (d *FakeDaemon) Socket() string { return d.socket }

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, capgo.KeyBits)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return key
}

// keyOf is the key that a request has under a further name: there is one of every
// name.
func (d *FakeDaemon) keyOf(name string) *rsa.PrivateKey {
	if d.further[name] == nil {
		d.further[name] = newKey()
	}
	return d.further[name]
}

// PublicKeyOf returns the key of every app for requests that name it as a further
// one.
func (d *FakeDaemon) PublicKeyOf(name string) *capgo.PublicKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	public, err := capgo.NewPublicKey(&d.keyOf(name).PublicKey)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return public
}

// PublicKey returns the key of every app.
func (d *FakeDaemon) PublicKey() *capgo.PublicKey { return d.public }

// LogKey returns the verifier key of the log.
func (d *FakeDaemon) LogKey() string { return d.logKey }

// SetFaults gives new orders.
func (d *FakeDaemon) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// Counts returns how many submissions arrived and how many requests they became.
func (d *FakeDaemon) Counts() (submissions, requests int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.submits, len(d.byID)
}

// Start listens and serves until [FakeDaemon.Stop]. What was recorded before a
// stop is still there.
func (d *FakeDaemon) Start() error {
	if err := os.Remove(d.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		return fmt.Errorf("fake daemon: %w", err)
	}
	server := &http.Server{Handler: d.handler()}
	d.mu.Lock()
	d.server = server
	d.mu.Unlock()
	d.served.Go(func() { _ = server.Serve(l) })
	return nil
}

// Stop breaks all connections and removes the socket, as a kill does.
func (d *FakeDaemon) Stop() {
	d.mu.Lock()
	server := d.server
	d.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	d.served.Wait()
}
