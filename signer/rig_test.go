package signer_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/audit/audittest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
	"github.com/bundlesign/bundlesign/store"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var otherTestKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func publicKey(t testing.TB, k *rsa.PrivateKey) *capgo.PublicKey {
	t.Helper()
	p, err := capgo.NewPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// faultyKey is a key with faults that no real backend shows on demand. Without
// a fault it really signs.
type faultyKey struct {
	mu      sync.Mutex
	private *rsa.PrivateKey
	custody signer.CustodyLevel
	uses    int          // payloads signed, the checks' session keys left out
	fault   func() error // fails Sign and Inspect
	// faultInUse fails Sign, but for the checks' signatures. It may wait.
	faultInUse func() error
	spoil      func([]capgo.Signature) []capgo.Signature
	block      chan struct{} // Sign waits for it to be closed
	deaf       chan struct{} // the same, also when the call's context has ended

	spoilCheck bool         // wrong signatures in checks only
	hang       bool         // Inspect does not answer
	inspected  atomic.Int32 // calls of Inspect
	checked    atomic.Int32 // the checks' signatures
}

func (k *faultyKey) with(fn func(*faultyKey)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fn(k)
}

func (k *faultyKey) used() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.uses
}

func (k *faultyKey) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	k.mu.Lock()
	fault, spoil, block, deaf, spoilCheck, private := k.fault, k.spoil, k.block, k.deaf, k.spoilCheck, k.private
	faultInUse := k.faultInUse
	isCheck := len(payloads) == 1 && payloads[0].Kind() == capgo.KindSession
	k.mu.Unlock()
	if block != nil && !isCheck {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if deaf != nil && !isCheck {
		<-deaf
	}
	if fault != nil {
		if err := fault(); err != nil {
			return nil, err
		}
	}
	if faultInUse != nil && !isCheck {
		if err := faultInUse(); err != nil {
			return nil, err
		}
	}
	out := make([]capgo.Signature, len(payloads))
	for i, p := range payloads {
		m, err := p.Material(nil)
		if err != nil {
			return nil, err
		}
		s, err := rsa.SignPKCS1v15(nil, private, crypto.Hash(0), m)
		if err != nil {
			return nil, err
		}
		out[i] = capgo.Signature(s)
	}
	if isCheck {
		k.checked.Add(1)
		if spoilCheck {
			out[0][9] ^= 1
		}
		return out, nil
	}
	k.with(func(k *faultyKey) { k.uses += len(payloads) })
	if spoil != nil {
		out = spoil(out)
	}
	return out, nil
}

func (k *faultyKey) Inspect(ctx context.Context) (*signer.Evidence, error) {
	k.inspected.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if k.fault != nil {
		if err := k.fault(); err != nil {
			return nil, err
		}
	}
	p, err := capgo.NewPublicKey(&k.private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &signer.Evidence{PublicKey: p, Custody: signer.Custody{Level: k.custody, Backend: "faulty"}}, nil
}

func (k *faultyKey) Close() error { return nil }

// faultyStore is a real store whose Update can be made to fail.
type faultyStore struct {
	*store.Store
	mu   sync.Mutex
	fail func(n int) error // of the n-th Update from now, from 0
	n    int
	// after runs once, when the next Update that succeeds has committed.
	after func()
}

func (s *faultyStore) afterCommit(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = fn
}

func (s *faultyStore) failWith(fn func(n int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.n = fn, 0
}

func (s *faultyStore) Update(ctx context.Context, fn func(signer.Tx) error) error {
	s.mu.Lock()
	var err error
	if s.fail != nil {
		err = s.fail(s.n)
	}
	s.n++
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	s.mu.Lock()
	after := s.after
	s.after = nil
	s.mu.Unlock()
	if after != nil {
		after()
	}
	return nil
}

// movableClock is the system's clock with an offset.
type movableClock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *movableClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *movableClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// rig is a core with a real store, which can be stopped and started again.
type rig struct {
	t        *testing.T
	dir      string
	logKey   note.Signer
	verifier note.Verifier

	key    *faultyKey
	clock  *movableClock
	config signer.Config

	quiet bool // it logs nothing
	store *faultyStore
	core  *signer.Signer
}

var (
	alice = policy.Identity{UID: 1000, User: "alice"}
	bob   = policy.Identity{UID: 1001, User: "bob"}
)

func rules(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, clock: new(movableClock), key: &faultyKey{private: testKey(), custody: signer.NonExtractable}}
	logKey := audittest.NewLogKey(t, "example.com/signer-test")
	r.logKey, r.verifier = logKey.Signer, logKey.Verifier
	r.config = signer.Config{
		Policy: rules(t,
			policy.Rule{Name: "closed", Channels: []policy.Glob{"closed"}, Effect: policy.Deny, Message: "not today"},
			policy.Rule{Name: "open", Users: []policy.Glob{"alice", "bob"}, Effect: policy.Allow}),
		Keys: []signer.KeyConfig{{
			Name: "acme", Apps: []string{"com.acme.shop"}, Pin: publicKey(t, testKey()),
			Demand: signer.NonExtractable, Replicas: []signer.Replica{{URI: "faulty:acme", Key: r.key}}, Concurrency: 2, Queue: 8,
		}},
		MaxFiles: 100, SigningTimeout: time.Minute, Version: "test",
	}
	return r
}

// start opens the store and starts a core on it.
func (r *rig) start() *rig {
	r.t.Helper()
	r.open()
	if err := r.core.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := store.Open(r.t.Context(), store.Options{Dir: r.dir, LogSigner: r.logKey, LogVerifier: r.verifier})
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = &faultyStore{Store: s}
	log := zaptest.NewLogger(r.t)
	if r.quiet {
		log = zap.NewNop()
	}
	r.core, err = signer.New(r.config, r.store, r.clock, log)
	if err != nil {
		r.t.Fatal(err)
	}
}

// stop is an orderly stop that waits for nothing.
func (r *rig) stop() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	_ = r.core.Close(ctx) // says what is left unfinished
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

func submission() signer.Submission {
	return signer.Submission{
		AppID: "com.acme.shop", Channel: "production", Version: "1.2.3",
		Digest: capgo.Digest{1, 2, 3}, Format: capgo.FormatHex,
	}
}

// submit submits and waits for the end.
func (r *rig) submit(sub signer.Submission, who policy.Identity, idem string) (*signer.Request, error) {
	r.t.Helper()
	req, err := r.core.Submit(r.t.Context(), sub, who, idem)
	if err != nil {
		return nil, err
	}
	return r.core.Wait(r.t.Context(), req.ID)
}

func (r *rig) mustSubmit(sub signer.Submission, who policy.Identity) *signer.Request {
	r.t.Helper()
	req, err := r.submit(sub, who, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

// leaves returns the log's entries of a type, after checking the checkpoint.
func (r *rig) leaves(typ audit.LeafType) []*audit.Leaf {
	r.t.Helper()
	msg, err := r.store.Log().Checkpoint(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, r.verifier)
	if err != nil {
		r.t.Fatal(err)
	}
	entries, err := r.store.Log().Entries(r.t.Context(), 0, tree.N)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []*audit.Leaf
	for _, e := range entries {
		l, err := audit.DecodeLeaf(e)
		if err != nil {
			r.t.Fatal(err)
		}
		if l.Type == typ {
			out = append(out, l)
		}
	}
	return out
}

// requests returns all records, newest first.
func (r *rig) requests() []*signer.Request {
	r.t.Helper()
	out, err := r.store.Requests(r.t.Context(), signer.Filter{})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func wantKind(t *testing.T, err error, kind signer.Kind) *signer.Error {
	t.Helper()
	var e *signer.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *signer.Error", err)
	}
	if e.Kind != kind {
		t.Fatalf("got kind %d (%v), want %d", e.Kind, err, kind)
	}
	return e
}
