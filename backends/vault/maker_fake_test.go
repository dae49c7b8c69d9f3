package vault_test

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// fakeMaking answers a maker as a Vault does that lies, breaks down or is used by
// somebody else at the same time: before it makes the key with one set of properties,
// and afterwards with another. A nil set is no key.
type fakeMaking struct {
	before, after map[string]any
	wrapping      string // PEM
	change        http.HandlerFunc

	changes atomic.Int32
}

func (f *fakeMaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/wrapping_key"):
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"public_key": f.wrapping}})
	case strings.Contains(r.URL.Path, "/sign/"):
		fmt.Fprint(w, `{"data":{"signature":"vault:v1:`+strings.Repeat("A", 342)+`=="}}`)
	case r.Method != http.MethodGet:
		f.changes.Add(1)
		f.change(w, r)
	default:
		shown := f.before
		if f.changes.Load() > 0 {
			shown = f.after
		}
		if shown == nil {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[]}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": shown})
	}
}

func publicPEM(t *testing.T, key *rsa.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// shown returns the properties of a key whose versions all have one public half.
func shown(t *testing.T, public *capgo.PublicKey, latest int, more map[string]any) map[string]any {
	t.Helper()
	versions := map[string]any{}
	for n := range latest {
		versions[fmt.Sprint(n+1)] = map[string]string{"public_key": publicPEM(t, public.RSA())}
	}
	all := map[string]any{
		"type": "rsa-2048", "exportable": false, "allow_plaintext_backup": false, "imported_key": false,
		"latest_version": latest, "min_available_version": 0, "min_decryption_version": 1, "keys": versions,
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

func done(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func TestFakeMaking(t *testing.T) {
	_, public := newKey(t)
	ok := shown(t, public, 1, nil)
	const remove = "deletion_allowed=true, then vault delete transit/keys/acme-shop"
	for name, test := range map[string]struct {
		fake *fakeMaking
		kind error
		says []string
	}{
		"broken connection": {
			&fakeMaking{change: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
			signer.ErrUnavailable,
			[]string{"vault may have made the key transit/acme-shop all the same", remove},
		},
		"error after all": {
			&fakeMaking{change: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
			signer.ErrUnavailable,
			[]string{"vault may have made", remove},
		},
		"broken connection, new version": {
			&fakeMaking{before: ok, change: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
			signer.ErrUnavailable,
			[]string{"vault may have made version 2 of transit/acme-shop all the same", "does no harm"},
		},
		"refusal": {
			&fakeMaking{change: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }},
			signer.ErrKeyUnusable,
			[]string{"nothing was done"},
		},
		"made by somebody else": {
			&fakeMaking{after: ok, change: func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"data":{},"warnings":["key acme-shop already existed"]}`)
			}},
			signer.ErrKeyUnusable,
			[]string{"somebody else made a key of that name"},
		},
		"rotated by somebody else too": {
			&fakeMaking{before: ok, after: shown(t, public, 3, nil), change: done},
			signer.ErrKeyUnusable,
			[]string{"latest version is 3, want 2", "somebody else"},
		},
		"gone": {
			&fakeMaking{change: done}, signer.ErrKeyUnusable, []string{"found no such key", "vault has made the key", remove},
		},
		"exportable": {
			&fakeMaking{after: shown(t, public, 1, map[string]any{"exportable": true}), change: done},
			signer.ErrKeyUnusable,
			[]string{"may leave it", "vault has made the key", remove},
		},
		"does not say": {
			&fakeMaking{after: shown(t, public, 1, map[string]any{"allow_plaintext_backup": nil}), change: done},
			signer.ErrKeyUnusable,
			[]string{"may leave it"},
		},
		"another type": {
			&fakeMaking{after: shown(t, public, 1, map[string]any{"type": "rsa-4096"}), change: done},
			signer.ErrKeyUnusable,
			[]string{`type "rsa-4096"`},
		},
		"imported": {
			&fakeMaking{after: shown(t, public, 1, map[string]any{"imported_key": true}), change: done},
			signer.ErrKeyUnusable,
			[]string{"imported_key false"},
		},
		"wrong signature": {
			&fakeMaking{after: ok, change: done},
			signer.ErrKeyUnusable,
			[]string{"test signature of the new key is wrong", "vault has made the key", remove},
		},
	} {
		t.Run(name, func(t *testing.T) {
			uri, _ := fakeVault(t, test.fake.ServeHTTP)
			uri, err := maker(t, strings.Replace(uri, "version=1&", "", 1)).Create(t.Context())
			fails(t, err, test.kind, test.says...)
			if uri != "" {
				t.Errorf("the URI %s beside an error", uri)
			}
			if n := test.fake.changes.Load(); n != 1 {
				t.Errorf("Vault was asked %d times to make a key, want once", n)
			}
		})
	}
}

func TestFakeImporting(t *testing.T) {
	private, public := newKey(t)
	_, other := newKey(t)
	// Of the right size, and nobody can decrypt for it.
	modulus := new(big.Int).Lsh(big.NewInt(1), 4095)
	wrapping := publicPEM(t, &rsa.PublicKey{N: modulus.Add(modulus, big.NewInt(1)), E: 65537})
	imported := map[string]any{"imported_key": true, "imported_key_allow_rotation": false}
	for name, test := range map[string]struct {
		fake    *fakeMaking
		kind    error
		says    string
		changes int32
	}{
		"no wrapping key":      {&fakeMaking{wrapping: "none"}, signer.ErrUnavailable, "no RSA key of 4096 bits", 0},
		"a short wrapping key": {&fakeMaking{wrapping: publicPEM(t, &private.PublicKey)}, signer.ErrUnavailable, "no RSA key of 4096 bits", 0},
		"there already":        {&fakeMaking{wrapping: wrapping, before: shown(t, public, 1, imported)}, signer.ErrKeyUnusable, "version 1 already", 0},
		"another key":          {&fakeMaking{wrapping: wrapping, after: shown(t, other, 1, imported), change: done}, signer.ErrKeyUnusable, "another public key", 1},
		"not imported":         {&fakeMaking{wrapping: wrapping, after: shown(t, public, 1, nil), change: done}, signer.ErrKeyUnusable, "imported_key true", 1},
		"refused": {
			&fakeMaking{wrapping: wrapping, change: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }},
			signer.ErrKeyUnusable, "nothing was done", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			uri, _ := fakeVault(t, test.fake.ServeHTTP)
			_, err := maker(t, strings.Replace(uri, "version=1&", "", 1)).Import(t.Context(), private)
			fails(t, err, test.kind, test.says)
			if n := test.fake.changes.Load(); n != test.changes {
				t.Errorf("Vault was asked %d times to import a key, want %d", n, test.changes)
			}
		})
	}
}

// Vault goes silent in the middle: the caller's end and our own deadline both say that the
// key may have been made.
func TestFakeMakingSlowly(t *testing.T) {
	for _, byCaller := range []bool{false, true} {
		t.Run(fmt.Sprintf("ended by the caller %t", byCaller), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				fake := &fakeMaking{change: func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if byCaller {
						cancel()
					}
					<-r.Context().Done()
				}}
				token := t.TempDir() + "/token"
				replace(t, token, "hvs.x")
				m := maker(t, "hashivault://transit/"+keyName+"?address=http://127.0.0.1:8200&token-file="+token)
				m.FakeDial(pipeServer(t, fakeHandler(fake.ServeHTTP)))
				kind := signer.ErrUnavailable
				if byCaller {
					kind = context.Canceled
				}
				began := time.Now() // of the bubble
				_, err := m.Create(ctx)
				fails(t, err, kind, "vault may have made the key")
				if took := time.Since(began); !byCaller && took != time.Minute {
					t.Errorf("gave up after %s, want a minute", took)
				}
				if n := fake.changes.Load(); n != 1 {
					t.Errorf("Vault was asked %d times to make a key, want once", n)
				}
			})
		})
	}
}

// pipeServer returns how to reach a server without a network, whose waiting testing/synctest
// can see.
func pipeServer(t *testing.T, handler http.Handler) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
