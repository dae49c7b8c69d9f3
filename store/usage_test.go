package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// reopened runs fn in a transaction, closes the store and runs check on what is
// there after it was opened again.
func reopened(t *testing.T, fn, check func(tx signer.Tx) error) {
	t.Helper()
	dir, keys := stateDir(t), newLogKeys(t)
	for _, f := range []func(tx signer.Tx) error{fn, check} {
		s := openStore(t, keys.options(dir))
		if err := s.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUses(t *testing.T) {
	now := time.Now()
	reopened(t, func(tx signer.Tx) error {
		for i, u := range []signer.Use{
			{Rule: "production", App: "com.acme.shop", Account: "uid 1"},
			{Rule: "production", App: "com.acme.pay", Account: "uid 1"},
			{Rule: "staging", App: "com.acme.shop", Account: "uid 2"},
		} {
			u.Request, u.At = "r", now.Add(time.Duration(i)*time.Minute)
			if err := tx.Use(u); err != nil {
				return err
			}
		}
		return nil
	}, func(tx signer.Tx) error {
		for _, c := range []struct {
			scope policy.Scope
			value string
			since time.Time
			want  int
		}{
			{policy.PerRule, "production", now.Add(-time.Second), 2},
			{policy.PerRule, "production", now.Add(time.Second), 1},
			{policy.PerApp, "com.acme.shop", now.Add(-time.Second), 2},
			{policy.PerRequester, "uid 2", now.Add(-time.Second), 1},
			{policy.PerRequester, "uid 3", now.Add(-time.Second), 0},
		} {
			if got, err := tx.Uses(c.scope, c.value, c.since); got != c.want || err != nil {
				t.Errorf("%s %s since %s: %d, %v; want %d", c.scope, c.value, c.since.Sub(now), got, err, c.want)
			}
		}
		if err := tx.Use(signer.Use{Rule: "late", At: now.Add(368 * 24 * time.Hour)}); err != nil {
			return err
		}
		if n, err := tx.Uses(policy.PerRule, "production", time.Unix(0, 0)); n != 0 || err != nil {
			t.Errorf("what no limit can look back at is kept: %d, %v", n, err)
		}
		if _, err := tx.Uses("nonsense", "x", now); err == nil {
			t.Error("an unknown scope is counted as nothing")
		}
		return nil
	})
}

func TestHeads(t *testing.T) {
	want := signer.Head{Last: policy.Release{Request: "r", Version: "1.2.3", Digest: "ab", Time: time.Unix(1, 0).UTC()}}
	reopened(t, func(tx signer.Tx) error {
		if err := tx.SetHead("com.acme.shop", "production", signer.Head{}); err != nil {
			return err
		}
		return tx.SetHead("com.acme.shop", "production", want)
	}, func(tx signer.Tx) error {
		got, err := tx.Head("com.acme.shop", "production")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if other, err := tx.Head("com.acme.shop", "staging"); other != (signer.Head{}) || err != nil {
			t.Errorf("another channel: %+v, %v", other, err)
		}
		return err
	})
}

func TestFreezes(t *testing.T) {
	first := signer.Freeze{ID: "a", All: true, Reason: "why", At: time.Unix(1, 0).UTC(), Statement: "text"}
	second := signer.Freeze{ID: "b", Key: "acme"}
	reopened(t, func(tx signer.Tx) error {
		lifted := second
		lifted.Lifted = true
		return errors.Join(tx.PutFreeze(&first), tx.PutFreeze(&second), tx.PutFreeze(&lifted))
	}, func(tx signer.Tx) error {
		got, err := tx.Freezes()
		if diff := cmp.Diff([]signer.Freeze{first}, got); diff != "" || err != nil {
			t.Errorf("in force: %v, -want +got:\n%s", err, diff)
		}
		if f, err := tx.Freeze("b"); err != nil || !f.Lifted {
			t.Errorf("one that was lifted: %+v, %v", f, err)
		}
		if _, err := tx.Freeze("c"); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
		return nil
	})
}

func TestSpendToken(t *testing.T) {
	now := time.Now()
	token := func(id string) *policy.Token {
		return &policy.Token{Issuer: "github", ID: id, Expires: now.Add(time.Minute)}
	}
	spend := func(tx signer.Tx, token *policy.Token, by string, now time.Time, want string) {
		t.Helper()
		if first, err := tx.SpendToken(token, by, now); first != want || err != nil {
			t.Errorf("token %s of %s by %s: first spent by %q, %v; want %q", token.ID, token.Issuer, by, first, err, want)
		}
	}
	reopened(t, func(tx signer.Tx) error {
		spend(tx, token("1"), "request-a", now, "request-a")
		return nil
	}, func(tx signer.Tx) error {
		spend(tx, token("1"), "request-b", now, "request-a")
		spend(tx, token("1"), "request-a", now, "request-a")
		spend(tx, token("2"), "request-b", now, "request-b")
		other := token("1")
		other.Issuer = "gitlab"
		spend(tx, other, "request-b", now, "request-b")
		// Long after its end nobody accepts it any more, and it is forgotten.
		spend(tx, token("1"), "request-c", now.Add(2*time.Hour), "request-c")
		return nil
	})
}

func TestPendingAndFiles(t *testing.T) {
	files := []signer.File{{Name: "index.html", Digest: capgo.Digest{1}}}
	reopened(t, func(tx signer.Tx) error {
		for i, state := range []signer.State{signer.Pending, signer.Signed, signer.Pending} {
			r := request([]string{"r1", "r2", "r3"}[i])
			r.State, r.Submission.Files, r.Fingerprint = state, files, r.ID
			r.Requester.UID = uint32(i)
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		r, err := tx.Request("r3")
		if err != nil {
			return err
		}
		r.State = signer.Authorized
		return tx.Move(r, signer.Pending)
	}, func(tx signer.Tx) error {
		pending, err := tx.Pending()
		if err != nil || len(pending) != 1 || pending[0].ID != "r1" {
			t.Errorf("pending: %v, %v; want r1", pending, err)
		}
		for uid, want := range []int{1, 0, 0} {
			if n, err := tx.PendingOf(uint32(uid)); n != want || err != nil {
				t.Errorf("of uid %d: %d, %v; want %d", uid, n, err, want)
			}
		}
		sub := request("r3").Submission
		if got, err := tx.Authorized(sub.AppID, sub.Channel); err != nil || len(got) != 1 || got[0].ID != "r3" {
			t.Errorf("authorized: %v, %v; want r3", got, err)
		}
		if got, err := tx.Authorized(sub.AppID, "another"); err != nil || len(got) != 0 {
			t.Errorf("authorized on another channel: %v, %v", got, err)
		}
		if got, err := tx.Files("r2"); err != nil || !cmp.Equal(files, got) {
			t.Errorf("files: %v, %v", got, err)
		}
		if _, err := tx.Files("nonsense"); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("files of nothing: %v", err)
		}
		return nil
	})
}
