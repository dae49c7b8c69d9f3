package store

import (
	"context"
	"database/sql"
	"fmt"
)

// schemaVersion is kept in PRAGMA user_version.
const schemaVersion = 2

// steps make a database of each version from one of the version before it, the
// first from an empty one. What was released is never changed.
func steps() []string { return []string{version1, version2} }

// version2 adds the keys that an operator took out of use.
const version2 = `
CREATE TABLE disabled (
	key    TEXT PRIMARY KEY,
	reason TEXT NOT NULL
) STRICT;
`

// version1 is the first. A request is stored as one JSON record,
// and its files, which can be megabytes, in columns that only a look at the whole
// request reads; the other columns are what it is looked up by. A leaf's hashes are those
// that it completes in the tree, from its own up, 32 bytes each: see storedHash.
// The log is append-only; triggers hold the daemon itself to that.
const version1 = `
CREATE TABLE requests (
	seq             INTEGER PRIMARY KEY, -- rising: no request is ever deleted
	id              TEXT NOT NULL UNIQUE,
	state           TEXT NOT NULL,
	app_id          TEXT NOT NULL,
	fingerprint     TEXT NOT NULL,
	record          BLOB NOT NULL, -- JSON
	files           BLOB,          -- JSON
	file_signatures BLOB           -- 256 bytes each
) STRICT;
CREATE INDEX requests_state ON requests (state, seq);
CREATE INDEX requests_app ON requests (app_id, seq);
CREATE INDEX requests_fingerprint ON requests (fingerprint, seq);
CREATE TABLE idempotency (
	uid INTEGER NOT NULL,
	key TEXT NOT NULL,
	seq INTEGER NOT NULL REFERENCES requests,
	PRIMARY KEY (uid, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE leaves (
	idx    INTEGER PRIMARY KEY,
	entry  BLOB NOT NULL,
	hashes BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
	size INTEGER PRIMARY KEY,
	note BLOB NOT NULL
) STRICT;
CREATE TRIGGER leaves_no_update BEFORE UPDATE ON leaves BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER leaves_no_delete BEFORE DELETE ON leaves BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TABLE quarantine (
	key    TEXT PRIMARY KEY,
	reason TEXT NOT NULL
) STRICT;
`

// migrate brings a database to the newest version, in one transaction, and refuses
// one that a newer bundlesignd wrote.
func migrate(ctx context.Context, conn *sql.Conn) error {
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fmt.Errorf("the database has schema version %d, this bundlesignd knows up to %d: it was written by a newer release; use that one", version, schemaVersion)
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, step := range steps()[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}
