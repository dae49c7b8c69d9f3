// Package store keeps the daemon's durable state in one SQLite database: the
// requests, and the audit log's entries and hashes beside them, so that "the
// request moved" and "the log says so" are one transaction.
//
// Its invariant is that of [signer.Store]: when Update returns nil, what was
// done survives the loss of power (WAL with synchronous=FULL); otherwise it
// never happened. All writes go through one goroutine, which commits the work of
// every caller that waits at that moment together and signs one checkpoint for
// it (group commit). Reads see committed state only and never wait for writes.
//
// It assumes that it is the only process with the database open, and makes sure
// of it with a lock on the state directory.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite" // the driver

	"github.com/bundlesign/bundlesign/signer"
)

var _ signer.Store = (*Store)(nil)

// FileName is the name of the database in the state directory.
const FileName = "bundlesignd.db"

// Options are what Open needs.
type Options struct {
	// Dir is the state directory. It must exist and be the daemon's own.
	Dir string
	// LogSigner signs the checkpoints; its name is the origin of the log. An
	// Ed25519 signer, so that the same tree always has the same checkpoint.
	LogSigner note.Signer
	// LogVerifier checks at Open that the newest checkpoint is LogSigner's.
	LogVerifier note.Verifier
	// MaxPages bounds the size of the database in pages of 4 KiB; 0: no bound but
	// the disk's. Reaching it is [signer.ErrStoreFull].
	MaxPages int
}

// Store is an open database. Its methods may be called concurrently.
type Store struct {
	lock   *dirLock
	writer *writer
	readDB *sql.DB
	log    *logReader

	stop sync.Once
	err  error
}

// Open takes the lock on the state directory, opens or creates the database and
// checks that the audit log in it is whole: the newest checkpoint is signed by
// this log's key and is of the tree that the stored hashes give.
//
// It fails with [*LockedError] if another process has the directory.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	lock, err := lockDir(opt.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.release())
		}
	}()
	path := filepath.Join(opt.Dir, FileName)
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	writeDB, err := openDB(path, "rwc", "immediate")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, writeDB.Close())
		}
	}()
	writeDB.SetMaxOpenConns(1)
	conn, err := writeDB.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, sqlError(err))
	}
	if err := migrate(ctx, conn); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, sqlError(err))
	}
	if opt.MaxPages > 0 {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count=%d", opt.MaxPages)); err != nil {
			return nil, fmt.Errorf("opening %s: %w", path, sqlError(err))
		}
	}
	w, err := newWriter(ctx, writeDB, conn, opt.LogSigner, opt.LogVerifier)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	readDB, err := openDB(path, "ro", "deferred")
	if err != nil {
		return nil, err
	}
	readDB.SetMaxOpenConns(4)
	readDB.SetMaxIdleConns(4)
	go w.run()
	return &Store{lock: lock, writer: w, readDB: readDB, log: &logReader{readDB, w.tip}}, nil
}

// openDB opens the database with the durability that the invariant needs.
func openDB(path, mode, txlock string) (*sql.DB, error) {
	q := url.Values{"mode": {mode}, "_txlock": {txlock}}
	q["_pragma"] = []string{"busy_timeout(5000)", "foreign_keys(1)", "trusted_schema(0)"}
	if mode != "ro" {
		q["_pragma"] = append(q["_pragma"], "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)")
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

// createPrivate makes the database file with permissions that let nobody else
// read it; SQLite gives its -wal and -shm files the same.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the state: %w", err)
	}
	return f.Close()
}

// Update implements [signer.Store].
func (s *Store) Update(ctx context.Context, fn func(signer.Tx) error) error {
	return s.writer.do(ctx, fn)
}

// Close finishes the writes that were accepted, closes the database and gives
// up the lock. Later writes fail with [signer.ErrStoreBroken].
func (s *Store) Close() error {
	s.stop.Do(func() {
		s.err = errors.Join(s.readDB.Close(), s.writer.close(), s.lock.release())
	})
	return s.err
}
