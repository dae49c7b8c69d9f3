package signer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
)

// freeze stops everything, by an operator.
func (r *rig) freeze() *signer.Freeze {
	r.t.Helper()
	f, err := r.core.Freeze(r.t.Context(), signer.Freeze{All: true, Reason: "stolen laptop"}, policy.Identity{User: "root"}, true)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *rig) thaw(f *signer.Freeze, people ...*policytest.Person) *signer.Freeze {
	r.t.Helper()
	out := f
	for _, p := range people {
		var err error
		if out, err = r.core.Thaw(r.t.Context(), f.ID, p.Sign(policy.ThawNamespace, f.Statement), ci, false); err != nil {
			r.t.Fatalf("%s lifts the freeze: %v", p.Name, err)
		}
	}
	return out
}

func staging() signer.Submission {
	sub := submission()
	sub.Channel = "staging"
	return sub
}

func TestFreezeStopsAndQuorumLifts(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		waiting := r.wait(submission(), ci)
		r.agree(waiting, o.anna, o.cleo)
		f := r.freeze()
		_, err := r.submit(staging(), ci, "")
		if e := wantKind(t, err, signer.KindDenied); !strings.Contains(e.Detail, "stolen laptop") {
			t.Errorf("got %q, want the reason of the freeze", e.Detail)
		}
		if got := r.agree(waiting, o.ben); got.State != signer.Pending || !strings.Contains(got.Note, "frozen") {
			t.Fatalf("with all approvals under a freeze: %s, note %q; want it pending", got.State, got.Note)
		}
		r.stop()
		r.start()
		if fs, err := r.core.Freezes(t.Context()); err != nil || len(fs) != 1 || fs[0].Statement != f.Statement {
			t.Fatalf("after a restart: %+v, %v, want the freeze", fs, err)
		}
		if _, err := r.core.Thaw(t.Context(), f.ID, "", policy.Identity{User: "root"}, true); err == nil {
			t.Error("root alone lifted a freeze that wants signatures")
		}
		for name, sshsig := range map[string]string{
			"not of security":      o.anna.Sign(policy.ThawNamespace, f.Statement),
			"in another namespace": o.cleo.Sign(policy.ApprovalNamespace, f.Statement),
			"of another text":      o.cleo.Sign(policy.ThawNamespace, f.Statement+"x"),
		} {
			if _, err := r.core.Thaw(t.Context(), f.ID, sshsig, ci, false); err == nil {
				t.Errorf("a signature %s counted", name)
			}
		}
		if got := r.thaw(f, o.cleo); got.Lifted {
			t.Fatal("one person lifted a freeze that wants two")
		}
		if _, err := r.core.Thaw(t.Context(), f.ID, o.cleo.Sign(policy.ThawNamespace, f.Statement), ci, false); err == nil {
			t.Error("the same person counted twice")
		}
		if got := r.thaw(f, o.dave); !got.Lifted {
			t.Fatal("two people of security did not lift it")
		}
		if got := r.end(waiting.ID); got.State != signer.Signed {
			t.Errorf("what waited for the end of the freeze is %s, want signed", got.State)
		}
		r.mustSubmit(staging(), ci)
		if n, m := len(r.leaves(audit.LeafFreeze)), len(r.leaves(audit.LeafThaw)); n != 1 || m != 2 {
			t.Errorf("the log has %d freezes and %d steps of a thaw, want 1 and 2", n, m)
		}
	})
}

// What was authorized before a freeze and not signed yet does not leave.
func TestFreezeHoldsBackWhatIsBeingSigned(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		block := make(chan struct{})
		r.key.with(func(k *faultyKey) { k.block = block })
		req, err := r.core.Submit(t.Context(), staging(), ci, "")
		if err != nil || req.State != signer.Authorized {
			t.Fatalf("%+v, %v", req, err)
		}
		r.freeze()
		close(block)
		if got := r.end(req.ID); got.State != signer.Failed || got.Result != nil || !strings.Contains(got.Reason, "stolen laptop") {
			t.Errorf("it is %s (%s), want it failed by the freeze", got.State, got.Reason)
		}
	})
}

func TestWhoMayFreezeWhat(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		ctx := t.Context()
		_, err := r.core.Freeze(ctx, signer.Freeze{All: true, Reason: "x"}, ci, false)
		wantKind(t, err, signer.KindForbidden)
		for _, f := range []signer.Freeze{
			{Reason: "x"},
			{All: true, AppID: "com.acme.shop", Reason: "x"},
			{AppID: "nonsense", Reason: "x"},
			{All: true},
			{All: true, Reason: "two\nlines"},
		} {
			_, err := r.core.Freeze(ctx, f, daveUser, false)
			wantKind(t, err, signer.KindInvalid)
		}
		_, err = r.core.Freeze(ctx, signer.Freeze{Key: "typo", Reason: "x"}, daveUser, false)
		wantKind(t, err, signer.KindNotFound)

		other, err := r.core.Freeze(ctx, signer.Freeze{AppID: "com.acme.other", Reason: "x"}, daveUser, false)
		if err != nil {
			t.Fatal(err)
		}
		r.mustSubmit(staging(), ci)
		again, err := r.core.Freeze(ctx, signer.Freeze{AppID: "com.acme.other", Reason: "y"}, daveUser, false)
		if err != nil || again.ID != other.ID {
			t.Errorf("freezing the same again: %+v, %v, want the first", again, err)
		}
		if _, err := r.core.Freeze(ctx, signer.Freeze{Key: "acme", Reason: "x"}, daveUser, false); err != nil {
			t.Fatal(err)
		}
		sub := staging()
		sub.Digest[0]++
		_, err = r.submit(sub, ci, "")
		wantKind(t, err, signer.KindDenied)
	})
}

// An emergency passes freezes, by its own quorum.
func TestBreakGlass(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		r.freeze()
		sub := submission()
		sub.BreakGlass = "customers are being robbed"
		req := r.wait(sub, ci)
		if !strings.Contains(req.Statement, "EMERGENCY: customers are being robbed\n") {
			t.Errorf("the statement does not shout:\n%s", req.Statement)
		}
		r.agree(req, o.cleo)
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Errorf("it is %s: %s", got.State, got.Reason)
		}
		if l := r.leaves(audit.LeafAuthorized); len(l) != 1 || l[0].BreakGlass == "" || !l[0].Decision.BreakGlass {
			t.Errorf("the log does not shout: %+v", l)
		}
		sub.BreakGlass = "two\nlines"
		_, err := r.submit(sub, ci, "")
		wantKind(t, err, signer.KindInvalid)
	})
}

func TestIncreasingVersions(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.Rules[0].Limits = &policy.Limits{IncreasingVersions: true}
		r.config.Policy = compile(t, d)
		r.start()
		submit := func(version string, digest byte) error {
			sub := staging()
			sub.Version, sub.Digest[0] = version, digest
			_, err := r.submit(sub, ci, "")
			return err
		}
		for _, step := range []struct {
			version string
			digest  byte
			ok      bool
		}{
			{"1.10.0", 1, true},
			{"1.9.0", 2, false},
			{"1.10.0", 3, false}, // the same version of another bundle
			{"1.10.0-rc.1", 4, false},
			{"1.10.1-rc.1", 5, true},
			{"1.10.1", 6, true},
			{"1.10.0", 1, true}, // the very same request: its own answer
		} {
			if err := submit(step.version, step.digest); (err == nil) != step.ok {
				t.Errorf("version %s: %v, want it signed: %t", step.version, err, step.ok)
			}
		}
		r.stop()
		r.start()
		if submit("1.10.0", 9) == nil {
			t.Error("after a restart an old version is signed")
		}
	})
}

func TestRates(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.Rules[0].Limits = &policy.Limits{Rates: []policy.Rate{{Most: 2, Within: time.Hour, Per: policy.PerRequester}}}
		r.config.Policy = compile(t, d)
		r.start()
		sub := staging()
		next := func(who policy.Identity) error {
			sub.Digest[0]++
			_, err := r.submit(sub, who, "")
			return err
		}
		for range 2 {
			if err := next(ci); err != nil {
				t.Fatal(err)
			}
		}
		wantKind(t, next(ci), signer.KindDenied)
		if err := next(daveUser); err != nil {
			t.Errorf("another requester: %v", err)
		}
		r.clock.move(61 * time.Minute)
		if err := next(ci); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// A token that a rule does not ask for does not make its bearer somebody else.
func TestRateIsNotEscapedByTokens(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.Rules[0].Limits = &policy.Limits{Rates: []policy.Rate{{Most: 1, Within: time.Hour, Per: policy.PerRequester}}}
		r.config.Policy = compile(t, d)
		r.start()
		sub := staging()
		for i := range 3 {
			sub.Digest[0]++
			job := ci
			job.Token = &policy.Token{Issuer: "github", Subject: strings.Repeat("x", i+1), ID: strings.Repeat("j", i+1), Expires: time.Now().Add(time.Hour)}
			_, err := r.submit(sub, job, "")
			if i == 0 && err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				wantKind(t, err, signer.KindDenied)
			}
		}
	})
}
