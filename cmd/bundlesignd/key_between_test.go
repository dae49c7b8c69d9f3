package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// fakeMaker makes keys in a file, when and how a test wants it. A real backend
// cannot be made to fail at every line.
type fakeMaker struct {
	create func(context.Context) (string, error)
}

var _ backends.KeyMaker = (*fakeMaker)(nil)

func (m *fakeMaker) Plan(context.Context, bool) ([]string, error)            { return nil, nil }
func (m *fakeMaker) Create(ctx context.Context) (string, error)              { return m.create(ctx) }
func (m *fakeMaker) Import(context.Context, *rsa.PrivateKey) (string, error) { return "", nil }
func (m *fakeMaker) Close() error                                            { return nil }

// fakeDesk is a desk whose log stops at an entry.
type fakeDesk struct {
	desk
	left int // entries that it still takes
}

func (d *fakeDesk) record(ctx context.Context, op *wire.KeyOperation) (int64, error) {
	if d.left == 0 {
		return 0, signer.ErrStoreFull
	}
	d.left--
	return d.desk.record(ctx, op)
}

// stateOfTest is the state of a daemon that is stopped, and a key that is being made
// in it.
func stateOfTest(t *testing.T) (operatorOf, *stateDesk, *making, string) {
	t.Helper()
	dir := initialized(t)
	cfg, _, err := config.Load(filepath.Join(dir, "config.yaml"), config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		t.Fatal(err)
	}
	d, err := openStateDesk(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	flags := &makeFlags{keyFlags: new(keyFlags), name: "acme-new", app: "com.acme.shop"}
	m := &making{flags: flags, cfg: cfg, log: zap.NewNop(), action: audit.KeyCreate, uri: "file:/asked"}
	return operatorOf{t: t, dir: dir}, d, m, filepath.Join(dir, "new.key.pem")
}

func TestKeyMakingIsInTheLogFirst(t *testing.T) {
	for name, c := range map[string]struct {
		entries int // that the log takes
		create  func(path string, cancel context.CancelFunc) (string, error)
		want    string // in the error; "" is none
		log     []string
		touched bool
	}{
		"it works": {
			2, func(path string, _ context.CancelFunc) (string, error) {
				_, err := file.Create(path)
				return file.URI(path), err
			}, "",
			[]string{"create begun acme-new", "create done acme-new"},
			true,
		},
		"the log is full at once": {
			0, func(string, context.CancelFunc) (string, error) { return "", nil }, "nothing was done, because the log cannot say so",
			nil, false,
		},
		"the log is full afterwards": {
			1, func(path string, _ context.CancelFunc) (string, error) {
				_, err := file.Create(path)
				return file.URI(path), err
			},
			"its entry 0 stays begun",
			[]string{"create begun acme-new"},
			true,
		},
		"the backend refuses": {
			2, func(string, context.CancelFunc) (string, error) { return "", errors.New("no room\x1b[2J for a key") }, "no room",
			[]string{"create begun acme-new", "create failed acme-new"},
			true,
		},
		"the backend refuses and the log is full": {
			1, func(string, context.CancelFunc) (string, error) { return "", errors.New("no room") }, "could not be told that it failed",
			[]string{"create begun acme-new"},
			true,
		},
		"interrupted": {
			2, func(_ string, cancel context.CancelFunc) (string, error) { cancel(); return "", context.Canceled }, "context canceled",
			[]string{"create begun acme-new", "create failed acme-new"},
			true,
		},
		"the key is not there": {
			2, func(path string, _ context.CancelFunc) (string, error) { return file.URI(path), nil }, "it is not fit for use",
			[]string{"create begun acme-new", "create failed acme-new"},
			true,
		},
		"the URI is nonsense": {
			2, func(string, context.CancelFunc) (string, error) { return "nonsense", nil }, "it is not fit for use",
			[]string{"create begun acme-new", "create failed acme-new"},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, d, m, path := stateOfTest(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			touched := false
			maker := &fakeMaker{create: func(context.Context) (string, error) {
				touched = true
				msg, err := d.state.store.Log().Checkpoint(t.Context())
				if err != nil {
					t.Error(err)
				}
				if _, tree, err := audit.ReadCheckpoint(msg); err != nil || tree.N != 1 {
					t.Errorf("the log has %d entries (%v) when the backend is touched, want that it begins", tree.N, err)
				}
				return c.create(path, cancel)
			}}
			out, err := m.do(ctx, &fakeDesk{d, c.entries}, d.set, maker)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || (out == nil) != (err != nil) {
				t.Errorf("%+v, %v, want %q", out, err, c.want)
			}
			if touched != c.touched {
				t.Errorf("the backend was touched: %t", touched)
			}
			if err := d.close(); err != nil {
				t.Fatal(err)
			}
			for i, l := range o.wantOperations(c.log...) {
				if strings.ContainsRune(l.Reason, 0x1b) {
					t.Errorf("the reason plays with terminals: %q", l.Reason)
				}
				if i == 1 && (l.Operation.Begun == nil || *l.Operation.Begun != 0) {
					t.Errorf("%s: it does not say what began: %+v", said(l), l.Operation)
				}
			}
		})
	}
}

// A key that makes a wrong signature when an operator checks it is in quarantine, as
// it would be in the daemon, and is not used again.
func TestKeyCheckCondemns(t *testing.T) {
	o, d, _, _ := stateOfTest(t)
	d.ring[0].Replicas[0].Key = &fakeFaultyKey{d.ring[0].Replicas[0].Key}
	check, err := d.check(t.Context(), "acme-shop")
	if err != nil || check.OK || check.Key.State != "quarantined" || !strings.Contains(check.Key.Detail, "wrong signature") {
		t.Errorf("%+v, %v, want it in quarantine", check, err)
	}
	again, err := d.check(t.Context(), "acme-shop")
	if err != nil || again.OK || again.Key.State != "quarantined" {
		t.Errorf("%+v, %v, want it still in quarantine", again, err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	o.wantOperations("check begun acme-shop", "check failed acme-shop")
	if out := o.does("list"); !strings.Contains(out, "acme-shop  quarantined") {
		t.Errorf("list printed\n%s", out)
	}
}

// fakeFaultyKey makes wrong signatures, which no real key does on order.
type fakeFaultyKey struct{ signer.Key }

func (k *fakeFaultyKey) Sign(ctx context.Context, payloads []capgo.Payload) ([]capgo.Signature, error) {
	sigs, err := k.Key.Sign(ctx, payloads)
	for i := range sigs {
		sigs[i][7] ^= 1
	}
	return sigs, err
}

func TestShortenedFitsIntoTheLog(t *testing.T) {
	long := shortened(strings.Repeat("ä", maxReason))
	if len(long) > maxReason || !strings.HasSuffix(long, "ä") {
		t.Errorf("found %d bytes that end with %q", len(long), long[len(long)-3:])
	}
	if got := shortened("a\nb\x00"); got != `a\nb\x00` {
		t.Errorf("found %q", got)
	}
	if got := shortened(fmt.Sprint(errDeclined)); got != "nothing was done" {
		t.Errorf("found %q", got)
	}
}
