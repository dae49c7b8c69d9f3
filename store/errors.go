package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bundlesign/bundlesign/signer"
)

// sqlError sorts what SQLite reports into the errors of [signer.Store].
func sqlError(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch primary := e.Code() & 0xff; primary {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w: free space on the disk of the state directory", signer.ErrStoreFull, err)
	case sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %w: another process must have written to the database; stop it, then restart", signer.ErrStoreBroken, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the database is damaged; restore the state directory from a backup: %w", signer.ErrStoreBroken, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: %w: check the disk and the permissions of the state directory, then restart", signer.ErrStoreBroken, err)
	}
	return err
}
