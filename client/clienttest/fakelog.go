package clienttest

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/audit"
)

// fakeLog is a Merkle log in memory.
type fakeLog struct {
	entries [][]byte
	hashes  []tlog.Hash
}

func (l *fakeLog) size() int64 { return int64(len(l.entries)) }

func (l *fakeLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("no hash %d", x)
			}
			out[i] = l.hashes[x]
		}
		return out, nil
	})
}

func (l *fakeLog) tree() tlog.Tree {
	h, err := tlog.TreeHash(l.size(), l.reader())
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	return tlog.Tree{N: l.size(), Hash: h}
}

func (l *fakeLog) append(leaf *audit.Leaf) int64 {
	entry := encode(leaf)
	n := l.size()
	hashes, err := tlog.StoredHashes(n, entry, l.reader())
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	l.entries = append(l.entries, entry)
	l.hashes = append(l.hashes, hashes...)
	return n
}

// Grow adds n entries to the log.
func (d *FakeDaemon) Grow(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range n {
		d.log.append(&audit.Leaf{Type: audit.LeafStarted, Time: time.Now(), Daemon: fmt.Sprintf("fake %d", d.log.size())})
	}
}

// Rewrite replaces the log by one of the same length with another history.
func (d *FakeDaemon) Rewrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.log.entries
	d.log = fakeLog{}
	for i := range old {
		d.log.append(&audit.Leaf{Type: audit.LeafStarted, Time: time.Now(), Daemon: fmt.Sprintf("rewritten %d", i)})
	}
}

// EditEntry changes entry i in what is served, but not in the tree.
func (d *FakeDaemon) EditEntry(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log.entries[i] = encode(&audit.Leaf{Type: audit.LeafStarted, Time: time.Now(), Daemon: "edited"})
}
