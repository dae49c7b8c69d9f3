package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/signer"
)

func TestFullDatabaseRefusesAndHeals(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	o := keys.options(dir)
	o.MaxPages = 40
	s := openStore(t, o)
	var accepted []string
	var failure error
	for i := 0; failure == nil; i++ {
		r := request(strconv.Itoa(i))
		r.Reason = strings.Repeat("x", 2000)
		if failure = s.Update(t.Context(), insert(r)); failure == nil {
			accepted = append(accepted, r.ID)
		}
	}
	if !errors.Is(failure, signer.ErrStoreFull) || !strings.Contains(failure.Error(), "free space") {
		t.Fatalf("got %v, want ErrStoreFull that says what to do", failure)
	}
	if got := logSize(t, s, keys); got != int64(len(accepted)) {
		t.Errorf("the log has %d entries after %d accepted requests", got, len(accepted))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, keys.options(dir)) // there is room again
	for _, id := range accepted {
		if _, err := s.Request(t.Context(), id); err != nil {
			t.Errorf("request %s was accepted and is lost: %v", id, err)
		}
	}
	if err := s.Update(t.Context(), insert(request("new"))); err != nil {
		t.Error(err)
	}
}

// The same while it stays open: space that comes back is used without a restart.
func TestFullDatabaseHealsWithoutReopening(t *testing.T) {
	keys := newLogKeys(t)
	o := keys.options(stateDir(t))
	o.MaxPages = 40
	s := openStore(t, o)
	i := 0
	var err error
	for ; err == nil; i++ {
		r := request(strconv.Itoa(i))
		r.Reason = strings.Repeat("x", 2000)
		err = s.Update(t.Context(), insert(r))
	}
	if !errors.Is(err, signer.ErrStoreFull) {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.ExecContext(context.Background(), "PRAGMA max_page_count=1000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), insert(request("new"))); err != nil {
		t.Fatal(err)
	}
	rec, err := s.Receipt(t.Context(), int64(i-1))
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Verify(keys.verifier); err != nil {
		t.Error(err)
	}
}

func TestTamperingIsFoundAtOpen(t *testing.T) {
	for name, sql := range map[string]string{
		"a hash changed":       `DROP TRIGGER leaves_no_update; UPDATE leaves SET hashes = zeroblob(32) WHERE idx = (SELECT max(idx) FROM leaves)`,
		"an entry dropped":     `DROP TRIGGER leaves_no_delete; DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)`,
		"a checkpoint dropped": `DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)`,
	} {
		t.Run(name, func(t *testing.T) {
			dir, keys := stateDir(t), newLogKeys(t)
			s := openStore(t, keys.options(dir))
			for i := range 7 {
				if err := s.Update(t.Context(), insert(request(strconv.Itoa(i)))); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.writer.conn.ExecContext(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), keys.options(dir)); !errors.Is(err, signer.ErrStoreBroken) {
				t.Errorf("got %v, want ErrStoreBroken", err)
			}
		})
	}
}

func TestLogIsAppendOnly(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	if err := s.Update(t.Context(), insert(request("r"))); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE leaves SET entry = x'00'`, `UPDATE leaves SET hashes = x'00'`, `DELETE FROM leaves`} {
		if _, err := s.writer.conn.ExecContext(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v, want a refusal", sql, err)
		}
	}
}

func TestAnotherLogKeyIsRefused(t *testing.T) {
	dir := stateDir(t)
	s := openStore(t, newLogKeys(t).options(dir))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), newLogKeys(t).options(dir))
	if err == nil || !strings.Contains(err.Error(), "another log key") {
		t.Errorf("got %v, want an error that says so", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir, keys := stateDir(t), newLogKeys(t)
	s := openStore(t, keys.options(dir))
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA user_version=99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), keys.options(dir)); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("got %v, want an error that says a newer release wrote it", err)
	}
}

func TestDurabilityIsWhatTheInvariantNeeds(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := s.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	s := openStore(t, newLogKeys(t).options(stateDir(t)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(signer.Tx) error { return nil }); !errors.Is(err, signer.ErrStoreBroken) {
		t.Errorf("got %v, want ErrStoreBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
