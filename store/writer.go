package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/signer"
)

// maxBatch is how many callers share one commit at most. It bounds how long the
// first of them waits.
const maxBatch = 256

// job is one caller's transaction on its way through the writer.
type job struct {
	fn   func(signer.Tx) error
	done chan error // buffered: the writer never waits for a caller
}

// writer owns the only connection that writes.
type writer struct {
	db   *sql.DB
	conn *sql.Conn
	stmt *statements
	log  *logWriter
	tip  *tip

	mu     sync.RWMutex // held for reading while a job is handed over
	closed bool
	jobs   chan job
	ended  chan struct{}

	broken error // set once by run: nothing is written any more
}

func newWriter(ctx context.Context, db *sql.DB, conn *sql.Conn, s note.Signer, v note.Verifier) (*writer, error) {
	stmt, err := prepare(ctx, conn)
	if err != nil {
		return nil, sqlError(err)
	}
	log, err := openLog(ctx, conn, stmt, s, v)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db: db, conn: conn, stmt: stmt, log: log, tip: newTip(log.checkpoint),
		jobs: make(chan job, maxBatch), ended: make(chan struct{}),
	}
	return w, nil
}

// do hands fn to the writer and waits for its commit. Once fn is handed over it
// is carried out even if ctx ends: the caller may not know then, but a caller
// that comes back finds out.
func (w *writer) do(ctx context.Context, fn func(signer.Tx) error) error {
	j := job{fn, make(chan error, 1)}
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return fmt.Errorf("%w: the store is closed", signer.ErrStoreBroken)
	}
	select {
	case w.jobs <- j:
		w.mu.RUnlock()
	case <-ctx.Done():
		w.mu.RUnlock()
		return ctx.Err()
	}
	return <-j.done
}

func (w *writer) run() {
	defer close(w.ended)
	batch := make([]job, 0, maxBatch)
	for first := range w.jobs {
		batch = append(batch[:0], first)
		for len(batch) < maxBatch {
			select {
			case next, ok := <-w.jobs:
				if !ok {
					break
				}
				batch = append(batch, next)
				continue
			default:
			}
			break
		}
		w.commit(batch)
	}
}

// commit runs the functions of a batch in one SQLite transaction and tells each
// caller how it ended.
func (w *writer) commit(batch []job) {
	errs := make([]error, len(batch))
	err := w.broken
	if err == nil {
		err = w.transact(batch, errs)
		if errors.Is(err, signer.ErrStoreBroken) {
			// Whether the commit reached the disk is unknown. Going on could
			// contradict it, so nothing is written until a restart has looked.
			w.broken = err
		}
	}
	for i, j := range batch {
		if errs[i] == nil {
			errs[i] = err
		}
		j.done <- errs[i]
	}
}

// transact fills errs with the errors of single functions. The error it returns
// is for all others: the transaction as a whole did not commit.
func (w *writer) transact(batch []job, errs []error) error {
	ctx := context.Background() // a commit is never cancelled half-way
	if err := w.exec(ctx, w.stmt.begin); err != nil {
		return err
	}
	mark := w.log.mark()
	abort := func(err error) error {
		w.log.reset(mark)
		// After some errors SQLite has rolled back by itself; then this fails,
		// which is what it is meant to find out.
		_, _ = w.stmt.rollback.ExecContext(ctx)
		return err
	}
	if len(batch) == 1 { // alone, it needs no savepoint to be taken back to
		t := &tx{ctx: ctx, stmt: w.stmt, log: w.log}
		err := batch[0].fn(t)
		if err := errors.Join(t.fatal, err); err != nil {
			return abort(err)
		}
		batch = nil
	}
	for i, j := range batch {
		before := w.log.mark()
		if err := w.exec(ctx, w.stmt.savepoint); err != nil {
			return abort(err)
		}
		t := &tx{ctx: ctx, stmt: w.stmt, log: w.log}
		err := j.fn(t)
		if t.fatal != nil {
			return abort(t.fatal)
		}
		if err != nil {
			errs[i] = err
			w.log.reset(before)
			if err := w.exec(ctx, w.stmt.rollbackTo); err != nil {
				return abort(err)
			}
		}
		if err := w.exec(ctx, w.stmt.release); err != nil {
			return abort(err)
		}
	}
	checkpoint, err := w.log.seal(ctx, mark)
	if err != nil {
		return abort(err)
	}
	receipts, err := w.log.receipts(ctx, checkpoint)
	if err != nil {
		return abort(err)
	}
	if err := w.exec(ctx, w.stmt.commit); err != nil {
		if !errors.Is(err, signer.ErrStoreFull) && !errors.Is(err, signer.ErrStoreBroken) {
			// Only of a full disk is it sure that nothing was committed.
			err = fmt.Errorf("%w: committing: %w; restart", signer.ErrStoreBroken, err)
		}
		return abort(err)
	}
	w.log.committed(checkpoint)
	w.tip.set(checkpoint, receipts)
	return nil
}

func (w *writer) exec(ctx context.Context, s *sql.Stmt) error {
	_, err := s.ExecContext(ctx)
	return sqlError(err)
}

func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	close(w.jobs)
	w.mu.Unlock()
	<-w.ended
	return errors.Join(w.stmt.close(), w.conn.Close(), w.db.Close())
}
