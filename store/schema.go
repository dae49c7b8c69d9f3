package store

import (
	"context"
	"database/sql"
	"fmt"
)

// schemaVersion is kept in PRAGMA user_version.
const schemaVersion = 4

// steps make a database of each version from one of the version before it, the
// first from an empty one. What was released is never changed.
func steps() []string { return []string{version1, version2, version3, version4} }

// version4 keeps out earlier releases: they would take a request with several keys
// for one with the first of them only.
const version4 = "" // the tables are those of version 3

// version3 adds what approvals and limits are judged by. Uses, heads and tokens are
// as new as this version: what was signed before does not count.
const version3 = `
ALTER TABLE requests ADD COLUMN uid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN channel TEXT NOT NULL DEFAULT '';
UPDATE requests SET
	uid = CAST(record AS TEXT) ->> '$.Requester.uid',
	channel = CAST(record AS TEXT) ->> '$.Submission.Channel';
CREATE INDEX requests_pending ON requests (uid) WHERE state = 'pending';
CREATE INDEX requests_authorized ON requests (app_id, channel) WHERE state = 'authorized';

CREATE TABLE uses (
	request TEXT NOT NULL,
	at      INTEGER NOT NULL, -- microseconds since 1970
	rule    TEXT NOT NULL,
	app     TEXT NOT NULL,
	account TEXT NOT NULL
) STRICT;
CREATE INDEX uses_at ON uses (at);
CREATE INDEX uses_rule ON uses (rule, at);
CREATE INDEX uses_app ON uses (app, at);
CREATE INDEX uses_account ON uses (account, at);

CREATE TABLE heads (
	app_id  TEXT NOT NULL,
	channel TEXT NOT NULL,
	head    BLOB NOT NULL, -- JSON
	PRIMARY KEY (app_id, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE freezes (
	seq    INTEGER PRIMARY KEY,
	id     TEXT NOT NULL UNIQUE,
	lifted INTEGER NOT NULL,
	freeze BLOB NOT NULL -- JSON
) STRICT;
CREATE INDEX freezes_in_force ON freezes (seq) WHERE lifted = 0;

CREATE TABLE tokens (
	issuer      TEXT NOT NULL,
	id          TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	expires     INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (issuer, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_expires ON tokens (expires);
`

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
