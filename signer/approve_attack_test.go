package signer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
)

// A crash between the commit of the last approval and the start of the work: the
// next start signs it, once.
func TestLastApprovalIsDurableAndTheDaemonStops(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.store.afterCommit(func() {
			now, cancel := context.WithCancel(t.Context())
			cancel()
			_ = r.core.Close(now) // there is nothing to wait for
		})
		if got := r.agree(req, o.ben); got.State != signer.Authorized {
			t.Fatalf("it is %s, want authorized", got.State)
		}
		if r.key.used() != 0 {
			t.Fatal("the key was used by a daemon that had stopped")
		}
		r.stop()
		r.start()
		synctest.Wait() // until it has been taken up
		if got := r.end(req.ID); got.State != signer.Signed || r.key.used() != 2 {
			t.Errorf("after a restart it is %s, with %d payloads signed; want it signed once, with 2", got.State, r.key.used())
		}
		r.stop()
		r.start()
		if n := len(r.leaves(audit.LeafAuthorized)); n != 1 || r.key.used() != 2 {
			t.Errorf("the log has %d authorizations, and %d payloads were signed; want 1 and 2", n, r.key.used())
		}
	})
}

// Whoever waits for an authorized request right after a start waits for its end.
func TestWaitRightAfterARestart(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		r.key.with(func(k *faultyKey) { k.block = make(chan struct{}) })
		req, err := r.core.Submit(t.Context(), staging(), ci, "")
		if err != nil {
			t.Fatal(err)
		}
		r.stop()
		r.key.with(func(k *faultyKey) { k.block = nil })
		r.start()
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Errorf("it is %s, want signed", got.State)
		}
	})
}

// What happens between the commit of the last approval and the start of the work
// still counts.
func TestCancelledOrFrozenRightAfterTheLastApproval(t *testing.T) {
	for name, c := range map[string]struct {
		then func(r *rig, id string)
		want signer.State
	}{
		"cancelled": {func(r *rig, id string) {
			if _, err := r.core.Cancel(r.t.Context(), id, ci); err != nil {
				r.t.Error(err)
			}
		}, signer.Cancelled},
		"frozen": {func(r *rig, _ string) { r.freeze() }, signer.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, r *rig, o *office) {
				req := r.wait(submission(), ci)
				r.agree(req, o.anna, o.cleo)
				r.store.afterCommit(func() { c.then(r, req.ID) })
				r.agree(req, o.ben)
				if got := r.end(req.ID); got.State != c.want || r.key.used() != 0 {
					t.Errorf("it is %s, and %d payloads were signed; want %s and none", got.State, r.key.used(), c.want)
				}
			})
		})
	}
}

// A request whose time is over is not brought back to life by a policy that would
// let it pass at once, neither by a reload nor at a start.
func TestAnotherPolicyDoesNotReviveWhatHasExpired(t *testing.T) {
	for name, change := range map[string]func(r *rig, p *policy.Policy){
		"reload": func(r *rig, p *policy.Policy) {
			if err := r.core.SetPolicy(r.t.Context(), p); err != nil {
				r.t.Fatal(err)
			}
		},
		"start": func(r *rig, p *policy.Policy) {
			r.config.Policy = p
			r.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, r *rig, o *office) {
				req := r.wait(submission(), ci)
				if name == "start" {
					r.stop()
				}
				r.clock.move(3 * time.Hour) // it had two
				d := o.document()
				d.Rules = []policy.Rule{{Name: "free", Effect: policy.Allow}}
				change(r, compile(t, d))
				if got := r.end(req.ID); got.State != signer.Expired || r.key.used() != 0 {
					t.Errorf("it is %s, want expired", got.State)
				}
			})
		})
	}
}

// crowd is a policy whose rule "crowd" wants 25 people of each of two groups, and
// whose rule "quick" waits ten minutes for one.
func crowd(t testing.TB) (policy.Document, []*policytest.Person) {
	var people []*policytest.Person
	groups := map[string][]string{}
	for i := range 60 {
		p := policytest.NewPerson(t, fmt.Sprintf("person-%03d-%s", i, strings.Repeat("x", 110)), policytest.Ed25519)
		group := fmt.Sprintf("group-%d", i%2)
		groups[group] = append(groups[group], p.Name)
		people = append(people, p)
	}
	return policy.Document{
		AllowedSigners: policytest.AllowedSigners(people...), Groups: groups,
		Rules: []policy.Rule{
			{Name: "crowd", Channels: []policy.Glob{"production"}, Effect: policy.Approve, Approvals: []policy.Requirement{
				{From: []string{"group-0"}, Threshold: 25}, {From: []string{"group-1"}, Threshold: 25},
			}},
			{Name: "quick", Channels: []policy.Glob{"beta"}, Effect: policy.Approve, Expires: 10 * time.Minute, Approvals: []policy.Requirement{
				{From: []string{"group-0"}, Threshold: 1},
			}},
		},
	}, people
}

// A request with as many approvals as the policy may ask for can be authorized, and
// if it cannot, it does not hold up all others.
func TestManyApprovalsFitTheLog(t *testing.T) {
	d, people := crowd(t)
	p := compile(t, d)
	more := d
	more.Rules = slices.Clone(d.Rules)
	more.Rules[0].Approvals = []policy.Requirement{{From: []string{"group-0"}, Threshold: 26}, {From: []string{"group-1"}, Threshold: 25}}
	if _, err := policy.Compile(more); err == nil {
		t.Error("a policy was accepted that wants more people than fit")
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy = p
		r.start()
		sub := submission()
		sub.Labels = make(map[string]string)
		for i := range 32 {
			sub.Labels[fmt.Sprint("label-", i)] = strings.Repeat("x", 256)
		}
		large := r.wait(sub, ci)
		f := r.freeze() // so that it waits with all its approvals
		beta := submission()
		beta.Channel = "beta"
		for _, p := range people { // those beyond what is wanted are turned away
			_, _ = r.approve(large, p)
		}
		if m := r.core.Missing(r.state(large.ID)); len(m) > 0 {
			t.Fatalf("missing %+v", m)
		}
		if _, err := r.core.Thaw(t.Context(), f.ID, "", policy.Identity{User: "root"}, true); err != nil {
			t.Fatal(err)
		}
		other := r.wait(beta, ci)
		r.clock.move(11 * time.Minute)
		if err := r.core.Reconsider(t.Context()); err != nil {
			t.Errorf("one request holds up all others: %v", err)
		}
		if got := r.state(other.ID); got.State != signer.Expired {
			t.Errorf("the other request is %s, want expired", got.State)
		}
		if got := r.state(large.ID); got.State == signer.Pending {
			t.Errorf("with all approvals it is %s, want it authorized", got.State)
		}
	})
}

// A reload that asks for fewer people must not leave a freeze that nobody can lift.
func TestThawWhenTheQuorumBecameSmaller(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		f := r.freeze()
		r.thaw(f, o.cleo)
		d := o.document()
		d.Freezes.Lift[0].Threshold = 1
		if err := r.core.SetPolicy(t.Context(), compile(t, d)); err != nil {
			t.Fatal(err)
		}
		got, err := r.core.Thaw(t.Context(), f.ID, o.dave.Sign(policy.ThawNamespace, f.Statement), ci, false)
		if err != nil || !got.Lifted {
			t.Errorf("got %+v, %v; want it lifted: one is enough now, and two have agreed", got, err)
		}
	})
}

// The same, when nobody is left who would sign: root ends it.
func TestThawByRootWhenTheSignaturesSuffice(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		f := r.freeze()
		r.thaw(f, o.cleo)
		d := o.document()
		d.Freezes.Lift[0].Threshold = 1
		if err := r.core.SetPolicy(t.Context(), compile(t, d)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.core.Thaw(t.Context(), f.ID, "", ci, false); err == nil {
			t.Error("somebody else than root could, without a signature")
		}
		if got, err := r.core.Thaw(t.Context(), f.ID, "", policy.Identity{User: "root"}, true); err != nil || !got.Lifted {
			t.Errorf("got %+v, %v; want it lifted", got, err)
		}
	})
}

// Whoever may freeze apps cannot keep an operator from freezing everything.
func TestEverythingCanBeFrozenWhateverElseIs(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		for i := range 1000 {
			f := signer.Freeze{AppID: fmt.Sprintf("com.acme.app%d", i), Reason: "x"}
			if _, err := r.core.Freeze(t.Context(), f, daveUser, false); err != nil {
				wantKind(t, err, signer.KindTooMany)
				break
			}
		}
		r.freeze()
	})
}

// A freeze with a key stops the private key, under each name that it has, as a
// quarantine does.
func TestFreezeIsOfTheKeyAndNotOfItsName(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.Rules = []policy.Rule{{Name: "free", Effect: policy.Allow}}
		r.config.Policy = compile(t, d)
		again := r.config.Keys[0]
		again.Name, again.Apps = "again", []string{"com.acme.other"}
		r.config.Keys = append(r.config.Keys, again)
		r.start()
		if _, err := r.core.Freeze(t.Context(), signer.Freeze{Key: "acme", Reason: "stolen"}, policy.Identity{User: "root"}, true); err != nil {
			t.Fatal(err)
		}
		sub := submission()
		_, err := r.submit(sub, ci, "")
		wantKind(t, err, signer.KindDenied)
		sub.AppID = "com.acme.other"
		if got, err := r.submit(sub, ci, ""); err == nil {
			t.Errorf("with another name of the frozen key: %s by key %q, want it denied", got.State, got.Key)
		}
	})
}

// A token that came with a retry is spent, too: whoever finds it in a job's log can
// do nothing with it.
func TestTokenOfARetryIsSpent(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		job := func(jti string) policy.Identity {
			id := ci
			id.Token = &policy.Token{Issuer: "github", Subject: "repo:acme/shop", ID: jti, Expires: time.Now().Add(time.Minute)}
			return id
		}
		first := r.mustSubmit(staging(), job("jti-1"))
		if again := r.mustSubmit(staging(), job("jti-2")); again.ID != first.ID {
			t.Fatal("a retry is another request")
		}
		other := staging()
		other.Digest[0]++
		if got, err := r.submit(other, job("jti-2"), ""); err == nil {
			t.Errorf("a token that was used before is good for another request: %s", got.State)
		}
	})
}

// All jobs of a CI runner have one uid. One of them cannot take back what another
// asked for.
func TestCancelByAnotherTokenOfTheSameUser(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		job := func(subject string) policy.Identity {
			id := ci
			id.Token = &policy.Token{Issuer: "github", Subject: subject, ID: "jti-" + subject, Expires: time.Now().Add(time.Minute)}
			return id
		}
		req := r.wait(submission(), job("repo:acme/shop"))
		_, err := r.core.Cancel(t.Context(), req.ID, job("repo:mallory/evil"))
		wantKind(t, err, signer.KindForbidden)
		if _, err := r.core.Cancel(t.Context(), req.ID, job("repo:acme/shop")); err != nil {
			t.Errorf("its own requester: %v", err)
		}
	})
}

// Nothing is signed before the start is in the log, also not what gets its last
// approval then.
func TestNothingIsAuthorizedBeforeTheStartIsLogged(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.stop()
		started := len(r.startsAfterReopening(1))
		if _, err := r.approve(req, o.ben); err == nil {
			t.Error("an approval was taken")
		}
		if n := len(r.leaves(audit.LeafStarted)); n != started {
			t.Fatalf("the log has %d starts, want still %d: the test proves nothing", n, started)
		}
		if n := len(r.leaves(audit.LeafAuthorized)); n != 0 {
			t.Errorf("the log has %d authorizations before the start of the daemon that made them", n)
		}
	})
}

// startsAfterReopening starts a core whose first writes fail, and returns the starts
// in the log.
func (r *rig) startsAfterReopening(failures int) []*audit.Leaf {
	r.t.Helper()
	r.open()
	r.store.failWith(func(n int) error {
		if n < failures {
			return signer.ErrStoreFull
		}
		return nil
	})
	if err := r.core.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return r.leaves(audit.LeafStarted)
}

// A key that is out of use when the last approval comes costs nobody their
// approvals: the request waits for it.
func TestApprovalsWaitForADisabledKey(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		if err := r.core.DisableKey(t.Context(), "acme", "maintenance", policy.Identity{User: "root"}); err != nil {
			t.Fatal(err)
		}
		r.agree(req, o.anna, o.cleo, o.ben)
		synctest.Wait() // whoever works on it has done so
		if got := r.state(req.ID); got.State != signer.Pending {
			t.Fatalf("it is %s (%s), want it pending", got.State, got.Reason)
		}
		if err := r.core.EnableKey(t.Context(), "acme", "done", policy.Identity{User: "root"}); err != nil {
			t.Fatal(err)
		}
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Errorf("in the end it is %s, want signed", got.State)
		}
	})
}

// What only waits for a rate is not written again at each look.
func TestHeldUpRequestIsNotWrittenAgain(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.Rules[1].Limits = &policy.Limits{Rates: []policy.Rate{{Most: 1, Within: time.Hour, Per: policy.PerRule}}}
		r.config.Policy = compile(t, d)
		r.start()
		first := r.wait(submission(), ci)
		sub := submission()
		sub.Digest[0]++
		held := r.wait(sub, ci)
		r.agree(first, o.anna, o.cleo, o.ben)
		r.end(first.ID)
		r.agree(held, o.anna, o.cleo, o.ben)
		before := r.state(held.ID)
		if before.State != signer.Pending || before.Note == "" {
			t.Fatalf("it is %s with note %q, want it pending with one", before.State, before.Note)
		}
		r.clock.move(5 * time.Minute)
		if err := r.core.Reconsider(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := r.state(held.ID); !after.UpdatedAt.Equal(before.UpdatedAt) {
			t.Errorf("nothing happened, and it was written again: %q, then %q", before.Note, after.Note)
		}
	})
}

// An approval that is sent again is no move, and nobody is told of one.
func TestRepeatedApprovalIsNotObserved(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		pending := 0
		r.config.Observe = func(req *signer.Request) {
			if req.State == signer.Pending {
				pending++
			}
		}
		r.config.Policy = compile(t, o.document())
		r.start()
		req := r.wait(submission(), ci)
		for range 3 {
			r.agree(req, o.anna)
		}
		if pending != 1 {
			t.Errorf("a request was observed %d times as pending, want 1: it came into that state once", pending)
		}
	})
}

// An emergency that a crash kept from being signed is called out by the daemon that
// signs it.
func TestEmergencyIsCalledOutAfterARestart(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		sub := submission()
		sub.BreakGlass = "the shop is down"
		req := r.wait(sub, ci)
		r.store.afterCommit(func() {
			now, cancel := context.WithCancel(t.Context())
			cancel()
			_ = r.core.Close(now) // there is nothing to wait for
		})
		r.agree(req, o.cleo)
		r.stop()
		r.open()
		core, entries := observer.New(zap.ErrorLevel)
		var err error
		if r.core, err = signer.New(r.config, r.store, r.clock, zap.New(core)); err != nil {
			t.Fatal(err)
		}
		if err := r.core.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until it has been taken up
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Fatalf("it is %s, want signed", got.State)
		}
		for _, e := range entries.All() {
			if strings.Contains(e.Message, "break-glass") {
				return
			}
		}
		t.Error("an emergency was signed without an alarm")
	})
}

// Whoever may ask, and takes back what they asked for, cannot fill the disk so.
func TestSubmitAndCancelForEver(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		sub := submission()
		for i := range 1000 {
			sub.Digest[0], sub.Digest[1] = byte(i), byte(i>>8)+1
			req, err := r.core.Submit(t.Context(), sub, ci, "")
			if err != nil {
				wantKind(t, err, signer.KindTooMany)
				if i < 50 {
					t.Errorf("the share of honest requesters is %d", i)
				}
				return
			}
			if _, err := r.core.Cancel(t.Context(), req.ID, ci); err != nil {
				t.Fatal(err)
			}
		}
		t.Error("1000 requests were recorded at once")
	})
}

// Many new files do not hide that a file was changed.
func TestChangedFileIsNotHiddenByNewOnes(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		sub := submission()
		sub.Files = []signer.File{{Name: "index.html", Digest: capgo.Digest{1}}, {Name: "login.js", Digest: capgo.Digest{2}}}
		req := r.wait(sub, ci)
		r.agree(req, o.anna, o.cleo, o.ben)
		r.end(req.ID)
		sub.Version, sub.Digest = "1.2.4", capgo.Digest{7}
		sub.Files = []signer.File{{Name: "index.html", Digest: capgo.Digest{3}}}
		for i := range 60 {
			sub.Files = append(sub.Files, signer.File{Name: fmt.Sprintf("img/%d.png", i), Digest: capgo.Digest{9}})
		}
		req = r.wait(sub, ci)
		for _, line := range []string{"change: ~ index.html\n", "change: - login.js\n"} {
			if !strings.Contains(req.Statement, line) {
				t.Errorf("the statement has no line %q:\n%s", line, req.Statement)
			}
		}
	})
}

// Different labels are different lines.
func TestLabelsCannotBeTakenForOthers(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		lines := func(labels map[string]string) string {
			sub := submission()
			sub.Labels = labels
			req, err := r.core.Submit(t.Context(), sub, ci, "")
			if err != nil {
				return "" // such labels are refused: as good
			}
			_, after, _ := strings.Cut(req.Statement, "\nlabel")
			before, _, _ := strings.Cut(after, "\nrule: ")
			return before
		}
		one := lines(map[string]string{"reviewed": "no = yes"})
		if other := lines(map[string]string{"reviewed = no": "yes"}); one == other {
			t.Errorf("both are shown as %q", one)
		}
	})
}

// Nothing in a statement looks like a line of it, whoever asks.
func TestStatementHasEachLineOnce(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, _ *office) {
		evil := "x\napp: com.acme.harmless\nEMERGENCY: no\r\x1b[2K"
		sub := submission()
		sub.Labels = map[string]string{"app": "app: com.acme.harmless"}
		for name, who := range map[string]policy.Identity{
			"unit":    {UID: 1, User: "ci", Unit: evil},
			"subject": {UID: 2, User: "ci", Token: &policy.Token{Issuer: "github", Subject: evil, ID: "1", Expires: time.Now().Add(time.Hour)}},
			"user":    {UID: 3, User: evil},
		} {
			req, err := r.core.Submit(t.Context(), sub, who, "")
			if err != nil {
				continue
			}
			apps := 0
			for line := range strings.Lines(req.Statement) {
				if strings.HasPrefix(line, "app: ") || strings.HasPrefix(line, "EMERGENCY") {
					apps++
				}
			}
			if apps != 1 || strings.ContainsAny(req.Statement, "\r\x1b") {
				t.Errorf("%s: the statement can be read in two ways:\n%q", name, req.Statement)
			}
		}
	})
}
