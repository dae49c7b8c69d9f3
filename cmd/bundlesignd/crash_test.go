package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/pkcs11/softhsmtest"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
)

// The daemon is killed with SIGKILL at random moments under load, 200 times in
// all. After each restart every request that was ever answered is there and gets
// signed, its result is the one that was answered before, if one was, each
// signature is in the log exactly once, and the log only ever grew. Every third
// request is to be signed with two keys: it has both results or none.
func TestKillAtRandomMoments(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		dir := initialized(t)
		public, err := file.Create(filepath.Join(dir, "new.key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		addNewKey(t, dir, "file:new.key.pem", public)
		killRepeatedly(t, dir, 160)
	})
	t.Run("pkcs11", func(t *testing.T) {
		tk := softhsmtest.New(t)
		pub := tk.GenerateKey("acme-shop")
		pem := filepath.Join(t.TempDir(), "pub.pem")
		if err := os.WriteFile(pem, []byte(pub.PEM()), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := initialized(t, "--key-uri", tk.URI("acme-shop"), "--public-key", pem)
		addNewKey(t, dir, tk.URI("acme-new"), tk.GenerateKey("acme-new"))
		killRepeatedly(t, dir, 40)
	})
}

// addNewKey gives the app a second key, acme-new, which signs on request.
func addNewKey(t testing.TB, dir, uri string, public *capgo.PublicKey) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "new.pub.pem"), []byte(public.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	custody := "non-extractable"
	if strings.HasPrefix(uri, "file:") {
		custody = "software"
	}
	edit(t, dir, "keys:\n", fmt.Sprintf("keys:\n  - {name: acme-new, uri: %q, public_key: new.pub.pem, apps: [com.acme.shop], only_on_request: true, custody: %s}\n", uri, custody))
}

// rotating is a bundle that is to be signed with two keys, in two forms, with files,
// if its number says so.
func rotating(n int) *wire.Submit {
	sub := bundle(n)
	if n%3 == 0 {
		sub.Also = []wire.AlsoKey{{Key: "acme-new", ChecksumFormat: "legacy"}}
		sub.Files = []wire.SubmitFile{{FileName: "a.js", Digest: strings.Repeat("ab", 32)}, {FileName: "b.js", Digest: strings.Repeat("cd", 32)}}
	}
	return sub
}

func killRepeatedly(t *testing.T, dir string, times int) {
	edit(t, dir, "requests_per_second: 200", "requests_per_second: 100000")
	edit(t, dir, "burst: 400", "burst: 100000")
	w := &witness{t: t, dir: dir, answers: map[string]*wire.Signature{}, entries: map[string]*audit.Leaf{}}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n, finished := 0, 0
	for range times {
		d := launch(t, dir)
		if random.IntN(10) > 0 { // one in ten dies while it starts
			d.ready()
			w.check(d, false)
		}
		n += 100
		delay := time.Duration(random.IntN(60_000)) * time.Microsecond
		// Most die while they answer, some before that.
		finished += w.load(d, n, delay, random.IntN(4) > 0)
		d.client.Close()
	}
	d := startDaemon(t, dir)
	w.check(d, true)
	if finished < times || len(w.answers) == 0 {
		t.Errorf("only %d requests were answered while it was killed %d times: that was no load", finished, times)
	}
	several := 0
	for _, sig := range w.answers {
		several += len(sig.Also)
	}
	if several == 0 {
		t.Error("no request was signed with two keys")
	}
	t.Logf("%d answers while it was killed %d times; %d requests, %d of them with two keys, %d log entries in all", finished, times, len(w.answers), several, w.tree.N)
	d.stop()
}

// witness remembers what the daemon said, and holds it to that.
type witness struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	answers map[string]*wire.Signature // by id, the last answer

	tree    tlog.Tree              // as last verified
	hashes  []tlog.Hash            // stored hashes of that tree
	entries map[string]*audit.Leaf // the "signed" entry of each request
}

// load has four clients submit until the daemon is killed, after the delay, which
// begins, if underway is set, with the first answer.
func (w *witness) load(d *process, base int, delay time.Duration, underway bool) (answers int) {
	answered := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for g := range 4 {
		wg.Go(func() {
			c := client.New(filepath.Join(w.dir, "bundlesignd.sock"), client.WithReconnect(0))
			defer c.Close()
			for i := 0; ctx.Err() == nil; i++ {
				// Clients 0 and 1 ask for the same, as retries do.
				sig, err := c.Submit(ctx, rotating(base+10*i+max(g, 1)), "")
				if err != nil {
					var unreachable *client.UnreachableError
					if errors.As(err, &unreachable) || ctx.Err() != nil {
						continue
					}
					var p *wire.Problem
					if errors.As(err, &p) && p.RetryAfter > 0 {
						continue
					}
					continue // the connection broke
				}
				mu.Lock()
				answers++
				mu.Unlock()
				w.remember(sig)
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	if underway {
		<-answered
	}
	time.Sleep(delay)
	d.kill()
	cancel()
	wg.Wait()
	return answers
}

// remember takes an answer, which must not contradict an earlier one.
func (w *witness) remember(sig *wire.Signature) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.answers[sig.ID]; old != nil && old.State == "signed" {
		if sig.State != "signed" || sig.Checksum != old.Checksum || sig.SessionKey != old.SessionKey || sig.Log.Entry != old.Log.Entry || sig.Log.Checkpoint != old.Log.Checkpoint ||
			!reflect.DeepEqual(sig.Also, old.Also) {
			w.t.Errorf("request %s was answered differently:\n%+v\n%+v", sig.ID, old, sig)
		}
		return
	}
	w.answers[sig.ID] = sig
}

// check holds a running daemon to everything it said; unless all, signed requests
// are only looked up in the log.
func (w *witness) check(d *process, all bool) {
	w.t.Helper()
	// After an hour there are hundreds of thousands.
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute+time.Duration(len(w.answers))*20*time.Millisecond)
	defer cancel()
	for id, old := range w.answers {
		if old.State == "signed" && !all {
			continue
		}
		sig, err := d.client.Wait(ctx, id)
		if err != nil {
			w.t.Fatalf("request %s was accepted and is lost: %v\n%s", id, err, d.log)
		}
		w.remember(sig)
	}
	w.readLog(ctx, d)
	for id, sig := range w.answers {
		leaf := w.entries[id]
		if leaf == nil {
			w.t.Fatalf("the signature of request %s is not in the log", id)
		}
		if !isRecorded(w.t, sig.Checksum, sig.SessionKey, leaf.ChecksumSHA256, leaf.SessionKeySHA256) {
			w.t.Fatalf("the log entry of request %s is of another signature", id)
		}
		if len(leaf.Also) != len(sig.Also) {
			w.t.Fatalf("the log entry of request %s is about %d further keys, want %d", id, len(leaf.Also), len(sig.Also))
		}
		for i, also := range sig.Also {
			said := leaf.Also[i]
			if !isRecorded(w.t, also.Checksum, also.SessionKey, said.ChecksumSHA256, said.SessionKeySHA256) || len(also.Files) != len(sig.Files) || said.FilesSHA256 == leaf.FilesSHA256 {
				w.t.Fatalf("the log entry of request %s is of another signature by %s", id, also.Key)
			}
		}
	}
}

// isRecorded reports whether the log has the hashes of what an answer has.
func isRecorded(t *testing.T, checksum, sessionKey, checksumSHA256, sessionKeySHA256 string) bool {
	t.Helper()
	raw, _, err := capgo.ParseChecksum(checksum)
	if err != nil {
		t.Fatal(err)
	}
	_, wrapped, _ := strings.Cut(sessionKey, ":")
	key, err := base64.StdEncoding.DecodeString(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return checksumSHA256 == hexSum(raw[:]) && sessionKeySHA256 == hexSum(key)
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// readLog reads the new entries, recomputes the tree and compares it with the
// checkpoint. Because it keeps the old entries, a log that did not only grow has
// another root.
func (w *witness) readLog(ctx context.Context, d *process) {
	w.t.Helper()
	st, err := d.client.Status(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	verifier, err := note.NewVerifier(st.LogKey)
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := d.client.Checkpoint(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	tree, err := audit.OpenCheckpoint(msg, verifier)
	if err != nil {
		w.t.Fatal(err)
	}
	for w.tree.N < tree.N {
		entries, err := d.client.LogEntries(ctx, w.tree.N, min(tree.N, w.tree.N+client.MaxEntries))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			hs, err := tlog.StoredHashes(w.tree.N, e, w)
			if err != nil {
				w.t.Fatal(err)
			}
			w.hashes = append(w.hashes, hs...)
			w.tree.N++
			leaf, err := audit.DecodeLeaf(e)
			if err != nil {
				w.t.Fatal(err)
			}
			switch leaf.Type {
			case audit.LeafSigned:
				if w.entries[leaf.Request] != nil {
					w.t.Fatalf("request %s was signed twice", leaf.Request)
				}
				w.entries[leaf.Request] = leaf
			case audit.LeafFailed, audit.LeafQuarantined:
				w.t.Fatalf("the log has a failure: %s", e)
			}
		}
	}
	root, err := tlog.TreeHash(w.tree.N, w)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.tree = (tlog.Tree{N: w.tree.N, Hash: root}); w.tree != tree {
		w.t.Fatalf("the entries hash to %v, the checkpoint is of %v", w.tree, tree)
	}
}

// ReadHashes implements [tlog.HashReader].
func (w *witness) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = w.hashes[x]
	}
	return out, nil
}
