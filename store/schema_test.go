package store

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/signer"
)

// A database of an earlier release is brought up to date, with all that is in it.
func TestMigration(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	if err := s.Update(t.Context(), insert(request("r1"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As version 1 left it.
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DROP TABLE disabled; DROP TABLE uses; DROP TABLE heads; DROP TABLE freezes; DROP TABLE tokens;
		DROP INDEX requests_pending; DROP INDEX requests_authorized; ALTER TABLE requests DROP COLUMN uid; ALTER TABLE requests DROP COLUMN channel;
		PRAGMA user_version=1`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir))
	if _, err := s.Request(t.Context(), "r1"); err != nil {
		t.Errorf("a request of the earlier release: %v", err)
	}
	if err := s.Update(t.Context(), func(tx signer.Tx) error { return tx.DisableKey("acme", "why") }); err != nil {
		t.Errorf("a table of the newer release: %v", err)
	}
	var uid uint32
	var channel string
	want := request("r1")
	if err := s.readDB.QueryRow("SELECT uid, channel FROM requests WHERE id = 'r1'").Scan(&uid, &channel); err != nil || uid != want.Requester.UID || channel != want.Submission.Channel {
		t.Errorf("columns of the newer release: uid %d, channel %q, %v; want %d and %q", uid, channel, err, want.Requester.UID, want.Submission.Channel)
	}
}

// A release that knows one key for a request would sign one with several, halfway.
func TestReleaseWithOneKeyForARequestDoesNotOpenTheDatabase(t *testing.T) {
	const knew = 3 // the schema versions that it knew
	dir, keys := stateDir(t), newLogKeys(t)
	version := func(s *Store) (found int) {
		if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	s := openStore(t, keys.options(dir))
	if found := version(s); found <= knew {
		t.Errorf("a new database has version %d, want one above %d", found, knew)
	}
	if err := s.Update(t.Context(), insert(request("r1"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version=%d", knew)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir))
	if found := version(s); found <= knew {
		t.Errorf("its database has version %d after it was opened, want one above %d", found, knew)
	}
	if _, err := s.Request(t.Context(), "r1"); err != nil {
		t.Errorf("its request: %v", err)
	}
}

func TestDisabledKeys(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	update := func(fn func(signer.Tx) error) error { return s.Update(t.Context(), fn) }
	for _, reason := range []string{"first", "second"} {
		if err := update(func(tx signer.Tx) error { return tx.DisableKey("acme", reason) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir))
	got, err := s.Disabled(t.Context())
	if diff := cmp.Diff(map[string]string{"acme": "second"}, got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got)\n%s", err, diff)
	}
	if err := update(func(tx signer.Tx) error { return tx.EnableKey("acme") }); err != nil {
		t.Error(err)
	}
	if err := update(func(tx signer.Tx) error { return tx.EnableKey("acme") }); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("enabled twice: %v, want %v", err, signer.ErrNotFound)
	}
	if got, err := s.Disabled(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v, want none", got, err)
	}
}
