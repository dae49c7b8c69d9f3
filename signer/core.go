package signer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
)

// Config is what the operator decides.
type Config struct {
	Policy *policy.Policy
	Keys   []KeyConfig
	// MaxFiles is how many files of a delta update one request may have.
	MaxFiles int
	// SigningTimeout is how long an authorized request is tried while its key
	// cannot be reached, before it fails.
	SigningTimeout time.Duration
	Version        string // of the daemon, for the log
	// MaxPending is how many requests of one uid may wait for approvals at once;
	// 0 means 100.
	MaxPending int
	// Observe is told of each request that has moved, and that is durable; it must
	// not block. Nil: nobody is.
	Observe func(*Request)
}

// defaultPending is the default of MaxPending.
const defaultPending = 100

// Signer is the core of the daemon. Make one with [New], then call Start.
type Signer struct {
	config Config
	keys   *keyring
	store  Store
	clock  Clock
	log    *zap.Logger
	watch  *watchers

	started time.Time
	running atomic.Bool // the "started" entry is in the log
	denials denials
	waits   denials // requests that wait for approvals

	// policy is changed under deciding's lock, and decisions are recorded under
	// its read lock: the log has the change before what was decided by it.
	deciding sync.RWMutex
	policy   atomic.Pointer[policy.Policy]

	writing health // how the last write to the state went

	signing  sync.WaitGroup     // requests on their way through execute
	watching sync.WaitGroup     // everything else that runs in the background
	life     context.Context    // ends when the daemon must not sign any more
	end      context.CancelFunc // ends life
	stopping chan struct{}      // closed when no new work is taken

	mu     sync.Mutex
	closed bool
}

// New wires a Signer. It uses neither store nor keys before Start.
func New(config Config, store Store, clock Clock, log *zap.Logger) (*Signer, error) {
	s := &Signer{
		config: config, store: store, clock: clock, log: log,
		watch: newWatchers(), started: clock.Now(), stopping: make(chan struct{}),
	}
	if s.config.MaxPending <= 0 {
		s.config.MaxPending = defaultPending
	}
	s.policy.Store(config.Policy)
	s.life, s.end = context.WithCancel(context.Background())
	var err error
	if s.keys, err = newKeyring(config.Keys, clock, s.spawn, log); err != nil {
		return nil, err
	}
	for _, k := range s.keys.byName {
		k.condemn = func(reason string) { s.condemn(k, reason) }
	}
	return s, nil
}

// Start brings quarantined and disabled keys back, writes the daemon's start to the log, takes up
// the requests that were authorized before the last stop, and begins to check
// the keys. It does not wait for a key backend. It fails if the state cannot be
// read; if it cannot be written, Start succeeds and nothing is signed until it
// can be.
func (s *Signer) Start(ctx context.Context) error {
	if err := s.recallBlocked(ctx); err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	unfinished, err := s.authorized(ctx)
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	for _, r := range unfinished {
		s.watch.open(r.ID)
	}
	if err := s.watchPending(ctx); err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if err := s.recordStart(ctx); err != nil {
		s.log.Error("nothing is signed yet: the audit log cannot be written", zap.Error(err))
	}
	s.spawn(func(life context.Context) {
		if !s.awaitStart() {
			return
		}
		for _, k := range s.keys.sorted() {
			for _, r := range k.replicas {
				s.spawn(r.watch)
			}
		}
		s.resume(unfinished)
		s.spawn(s.sweep)
	})
	return nil
}

// recallBlocked takes the keys out of use that were when the daemon stopped.
func (s *Signer) recallBlocked(ctx context.Context) error {
	quarantined, err := s.store.Quarantined(ctx)
	if err != nil {
		return err
	}
	disabled, err := s.store.Disabled(ctx)
	if err != nil {
		return err
	}
	for name, k := range s.keys.byName {
		log := s.log.With(zap.String("key", name))
		if reason, ok := quarantined[name]; ok {
			k.quarantine(reason)
			log.Error("key is in quarantine", zap.String("reason", reason))
		}
		if reason, ok := disabled[name]; ok {
			k.disable(reason)
			log.Warn("key is disabled", zap.String("reason", reason))
		}
	}
	return nil
}

// spawn is [Signer.spawn].
type spawn = func(fn func(life context.Context)) bool

// spawn runs fn in the background, unless the daemon is stopping. Close waits for
// it after life has ended.
func (s *Signer) spawn(fn func(life context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.watching.Go(func() { fn(s.life) })
	return true
}

// startLeafKey is a key in the log entry of a start.
type startLeafKey struct {
	Name        string       `json:"name"`
	URIs        []string     `json:"uris"`
	Apps        []string     `json:"apps"`
	Fingerprint string       `json:"key_fingerprint"`
	Demand      CustodyLevel `json:"custody_demanded"`
}

// recordStart writes who signs from now on, under which policy, with which keys.
// It also stands for the checks of the keys, which sign without an entry each.
func (s *Signer) recordStart(ctx context.Context) error {
	var keys []startLeafKey
	for _, k := range s.keys.sorted() {
		var uris []string
		for _, r := range k.Replicas {
			uris = append(uris, r.URI)
		}
		keys = append(keys, startLeafKey{k.Name, uris, k.Apps, k.Pin.Fingerprint(), k.Demand})
	}
	var moved []*Request
	err := s.update(ctx, func(tx Tx) error {
		_, err := tx.Append(&audit.Leaf{
			Type: audit.LeafStarted, Time: s.clock.Now(),
			Daemon: s.config.Version, Policy: s.policy.Load().Hash(), Keys: keys,
			Reason: fmt.Sprintf("each key is checked every %s by wrapping a session key that is thrown away", checkEvery),
		})
		if err != nil {
			return err
		}
		// The policy may be another than before the last stop.
		moved, err = s.rejudgeAll(tx, s.policy.Load())
		return err
	})
	if err != nil {
		return storeError(err)
	}
	s.running.Store(true)
	for _, r := range moved {
		s.moved(r)
	}
	return nil
}

// awaitStart tries until the start is in the log.
func (s *Signer) awaitStart() bool {
	for !s.running.Load() {
		select {
		case <-time.After(time.Second):
		case <-s.life.Done():
			return false
		}
		if s.recordStart(s.life) == nil {
			s.log.Info("the audit log can be written again")
		}
	}
	return true
}

// SetPolicy puts another policy in force, from the next decision on, if the log
// can say so. Otherwise the old one stays. Pending requests are judged by it, in
// the same transaction.
func (s *Signer) SetPolicy(ctx context.Context, p *policy.Policy) error {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	var moved []*Request
	err := s.update(ctx, func(tx Tx) error {
		_, err := tx.Append(&audit.Leaf{Type: audit.LeafPolicy, Time: s.clock.Now(), Policy: p.Hash()})
		if err != nil {
			return err
		}
		moved, err = s.rejudgeAll(tx, p)
		return err
	})
	if err != nil {
		return storeError(err)
	}
	s.policy.Store(p)
	for _, r := range moved {
		s.moved(r)
	}
	return nil
}

// observe tells the observer of a request's move.
func (s *Signer) observe(r *Request) {
	if s.config.Observe != nil {
		s.config.Observe(r)
	}
}

// Close takes no new requests, waits until ctx ends for those whose key answers,
// and leaves the rest authorized for the next start to finish. It does not close
// the store or the keys.
func (s *Signer) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stopping)
	}
	s.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.signing.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	s.end()
	<-idle
	s.watching.Wait()
	if n := s.watch.unfinished(); n > 0 {
		return fmt.Errorf("%d authorized requests are not signed yet; the next start finishes them", n)
	}
	return nil
}

// begin registers one request that Close waits for. The caller calls
// s.signing.Done.
func (s *Signer) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return stoppingError()
	}
	s.signing.Add(1)
	return nil
}

func stoppingError() error {
	return &Error{Kind: KindStopping, Detail: "the daemon is stopping; try again in a moment", Retry: 2 * time.Second}
}
