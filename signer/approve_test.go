package signer_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
)

func TestApprovalsLeadToASignature(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		sub := submission()
		sub.Labels = map[string]string{"commit": "abc"}
		sub.Files = []signer.File{{Name: "index.html", Digest: capgo.Digest{4}}}
		req := r.wait(sub, ci)
		for _, line := range []string{
			"bundlesign approval v1", "request: " + req.ID, "app: com.acme.shop", "channel: production", "version: 1.2.3",
			"digest: sha256:" + sub.Digest.String(), "requester: ci (uid 1001)", `label: "commit" = "abc"`, "rule: production",
			"policy: " + r.config.Policy.Hash(), "expires: " + req.ExpiresAt.Format(time.RFC3339), "files: 1, sha256:" + req.FilesSHA256,
			"change: nothing was signed for this app and channel before",
		} {
			if !strings.Contains(req.Statement, line+"\n") {
				t.Errorf("the statement has no line %q:\n%s", line, req.Statement)
			}
		}
		if got := r.agree(req, o.anna, o.cleo); got.State != signer.Pending {
			t.Fatalf("with one release manager and one of security: %s, want it pending", got.State)
		}
		if m := r.core.Missing(r.state(req.ID)); len(m) != 1 || m[0].Count != 1 || m[0].From[0] != "release" {
			t.Errorf("missing %+v, want one of release", m)
		}
		if r.key.used() != 0 {
			t.Error("the key was used before all had agreed")
		}
		if got := r.agree(req, o.ben); got.State != signer.Authorized {
			t.Fatalf("with all approvals: %s, want it authorized", got.State)
		}
		if got := r.end(req.ID); got.State != signer.Signed || len(got.Approvals) != 3 {
			t.Errorf("in the end: %s with %d approvals, want it signed with 3", got.State, len(got.Approvals))
		}
		authorized := r.leaves(audit.LeafAuthorized)
		if len(authorized) != 1 || len(authorized[0].Approvals) != 3 || authorized[0].Files == nil {
			t.Errorf("the log says %+v, want one authorization by three people, with the files", authorized)
		}
	})
}

// What does not count, and changes nothing.
func TestApprovalsThatDoNotCount(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		other := submission()
		other.Digest[0]++
		otherReq := r.wait(other, ci)
		r.agree(req, o.anna)
		for name, c := range map[string]struct {
			sshsig, want string
		}{
			"second key of the same person":   {o.ann2.Sign(policy.ApprovalNamespace, req.Statement), ""},
			"for another request":             {o.ben.Sign(policy.ApprovalNamespace, otherReq.Statement), "statement"},
			"for another digest":              {o.ben.Sign(policy.ApprovalNamespace, strings.Replace(req.Statement, "digest: sha256:01", "digest: sha256:02", 1)), "statement"},
			"in another namespace":            {o.ben.Sign("file", req.Statement), "namespace"},
			"a rejection sent as an approval": {o.ben.Sign(policy.RejectionNamespace, req.Statement), "namespace"},
			"nobody's key":                    {o.mallory.Sign(policy.ApprovalNamespace, req.Statement), "key"},
			"not a signature":                 {"nonsense", ""},
			"too long":                        {strings.Repeat("a", 1<<20), "bytes"},
		} {
			_, err := r.core.Approve(t.Context(), req.ID, c.sshsig)
			switch {
			case name == "second key of the same person":
				if err != nil {
					t.Fatal(err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
			}
			if got := r.state(req.ID); got.State != signer.Pending || len(got.Approvals) != 1 {
				t.Errorf("%s: it is %s with %d approvals, want pending with 1", name, got.State, len(got.Approvals))
			}
		}
		if n := len(r.leaves(audit.LeafApproved)); n != 1 {
			t.Errorf("the log has %d approvals, want 1", n)
		}
		_, err := r.core.Approve(t.Context(), "nonsense", "")
		wantKind(t, err, signer.KindNotFound)
	})
}

// Dave is the Unix user dave: he may approve what others ask for, not his own.
func TestOwnRequest(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		own := r.wait(submission(), daveUser)
		_, err := r.approve(own, o.dave)
		if e := wantKind(t, err, signer.KindApproval); !strings.Contains(e.Detail, "somebody else") {
			t.Errorf("got %q, want it to say why", e.Detail)
		}
		others := r.wait(submission(), ci)
		r.agree(others, o.dave)
	})
}

// Somebody in two groups counts for one of them.
func TestOnePersonOneVote(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		if got := r.agree(req, o.dave, o.anna); got.State != signer.Pending {
			t.Fatalf("two people met a demand for three: %s", got.State)
		}
		if got := r.agree(req, o.cleo); got.State != signer.Authorized {
			t.Errorf("with Cleo for security, Dave counts as release manager: %s, want authorized", got.State)
		}
		r.end(req.ID)
	})
}

func TestRejection(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		early := o.anna.Sign(policy.ApprovalNamespace, req.Statement)
		_, err := r.core.Reject(t.Context(), req.ID, o.mallory.Sign(policy.RejectionNamespace, req.Statement), "no")
		wantKind(t, err, signer.KindApproval)
		_, err = r.core.Reject(t.Context(), req.ID, o.cleo.Sign(policy.ApprovalNamespace, req.Statement), "no")
		wantKind(t, err, signer.KindApproval)
		_, err = r.core.Reject(t.Context(), req.ID, o.cleo.Sign(policy.RejectionNamespace, req.Statement), "")
		wantKind(t, err, signer.KindInvalid)
		got, err := r.core.Reject(t.Context(), req.ID, o.cleo.Sign(policy.RejectionNamespace, req.Statement), "wrong branch")
		if err != nil || got.State != signer.Rejected || got.Reason != "rejected by cleo: wrong branch" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if got := r.end(req.ID); got.State != signer.Rejected {
			t.Errorf("waiting ended with %s", got.State)
		}
		_, err = r.core.Approve(t.Context(), req.ID, early)
		wantKind(t, err, signer.KindConflict)
		// Asked again it is another request, and the old approval is of no use.
		again := r.wait(submission(), ci)
		if again.ID == req.ID {
			t.Error("a rejected request came back to life")
		}
		_, err = r.core.Approve(t.Context(), again.ID, early)
		wantKind(t, err, signer.KindApproval)
	})
}

func TestExpiry(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.clock.move(2 * time.Hour)
		_, err := r.approve(req, o.ben)
		if e := wantKind(t, err, signer.KindConflict); e.Request.State != signer.Expired {
			t.Errorf("got %+v, want it expired", e.Request)
		}
		// One that nobody touches expires too.
		second := r.wait(submission(), ci)
		if second.ID == req.ID {
			t.Fatal("an expired request answers a new one")
		}
		r.clock.move(3 * time.Hour)
		if got := r.end(second.ID); got.State != signer.Expired {
			t.Errorf("it is %s, want expired", got.State)
		}
		if n := len(r.leaves(audit.LeafExpired)); n != 2 {
			t.Errorf("the log has %d expiries, want 2", n)
		}
	})
}

// The key of an approver expires between two approvals: the first does not count
// when they are spent.
func TestKeyExpiresBeforeTheLastApproval(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		o.anna.Options = `valid-before="` + time.Now().UTC().Add(time.Hour).Format("20060102150405") + `Z"`
		r.config.Policy = compile(t, o.document())
		r.start()
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.clock.move(90 * time.Minute)
		got := r.agree(req, o.ben)
		if got.State != signer.Pending || len(got.Approvals) != 2 || !strings.Contains(got.Note, "anna") {
			t.Fatalf("it is %s with %d approvals and note %q, want it pending without Anna's", got.State, len(got.Approvals), got.Note)
		}
		if got := r.agree(req, o.dave); got.State != signer.Authorized {
			t.Errorf("with Dave in her place: %s, want authorized", got.State)
		}
		r.end(req.ID)
	})
}

// A reload judges what waits; approvals of the older policy do not count.
func TestReloadJudgesAgain(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		old := o.ben.Sign(policy.ApprovalNamespace, req.Statement)

		d := o.document() // Cleo has left
		d.AllowedSigners = policytest.AllowedSigners(o.anna, o.ben, o.dave)
		d.Groups = map[string][]string{"release": {"anna", "ben"}, "security": {"dave"}}
		d.Freezes = policy.Freezes{}
		if err := r.core.SetPolicy(t.Context(), compile(t, d)); err != nil {
			t.Fatal(err)
		}
		now := r.state(req.ID)
		if now.State != signer.Pending || len(now.Approvals) != 0 || now.Statement == req.Statement || !strings.Contains(now.Note, "2 approvals") {
			t.Fatalf("after the reload: %s, %d approvals, note %q; want it pending without approvals and with another statement", now.State, len(now.Approvals), now.Note)
		}
		_, err := r.core.Approve(t.Context(), req.ID, old)
		wantKind(t, err, signer.KindApproval)
		_, err = r.approve(now, o.cleo)
		wantKind(t, err, signer.KindApproval)

		d.Rules[1].Effect, d.Rules[1].Approvals, d.Rules[1].Expires = policy.Deny, nil, 0
		if err := r.core.SetPolicy(t.Context(), compile(t, d)); err != nil {
			t.Fatal(err)
		}
		if got := r.end(req.ID); got.State != signer.Denied {
			t.Errorf("under a policy that denies it: %s", got.State)
		}
		if r.key.used() != 0 {
			t.Error("the key was used")
		}
	})
}

// The same across a restart with another policy, and with the same one.
func TestRestartWhilePending(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.stop()
		r.start()
		if got := r.state(req.ID); len(got.Approvals) != 2 {
			t.Fatalf("after a restart it has %d approvals, want 2", len(got.Approvals))
		}
		r.stop()
		d := o.document()
		d.Rules[1].Expires = time.Hour
		r.config.Policy = compile(t, d)
		r.start()
		got := r.state(req.ID)
		if len(got.Approvals) != 0 || got.State != signer.Pending {
			t.Fatalf("after a restart with another policy: %s with %d approvals, want it pending with none", got.State, len(got.Approvals))
		}
		if want := got.SubmittedAt.Add(time.Hour); !got.ExpiresAt.Equal(want) {
			t.Errorf("it expires at %s, want %s", got.ExpiresAt, want)
		}
		r.agree(got, o.anna, o.ben, o.cleo)
		if got := r.end(req.ID); got.State != signer.Signed {
			t.Errorf("in the end: %s", got.State)
		}
	})
}

// Two approvals race to the threshold: one authorization, one signature.
func TestRaceToTheThreshold(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.cleo)
		var wg sync.WaitGroup
		for _, p := range []*policytest.Person{o.anna, o.ben, o.dave} {
			sshsig := p.Sign(policy.ApprovalNamespace, req.Statement)
			for range 2 {
				wg.Go(func() { _, _ = r.core.Approve(t.Context(), req.ID, sshsig) })
			}
		}
		wg.Wait()
		if got := r.end(req.ID); got.State != signer.Signed || len(got.Approvals) != 3 {
			t.Errorf("it is %s with %d approvals, want signed with 3", got.State, len(got.Approvals))
		}
		if n := len(r.leaves(audit.LeafAuthorized)); n != 1 {
			t.Errorf("the log has %d authorizations, want 1", n)
		}
		if n := r.key.used(); n != 2 {
			t.Errorf("the key made %d signatures, want 2", n)
		}
	})
}

// Time that runs backwards spends no approval.
func TestClockBackWhileApprovalsWait(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		r.agree(req, o.anna, o.cleo)
		r.clock.move(-time.Hour)
		_, err := r.approve(req, o.ben)
		wantKind(t, err, signer.KindClock)
		if got := r.state(req.ID); got.State != signer.Pending || len(got.Approvals) != 2 {
			t.Errorf("it is %s with %d approvals, want pending with 2", got.State, len(got.Approvals))
		}
		r.clock.move(time.Hour)
		if got := r.agree(req, o.ben); got.State != signer.Authorized {
			t.Errorf("with the right time: %s", got.State)
		}
		r.end(req.ID)
	})
}

// One peer cannot fill the state with what waits, and others are not affected.
func TestTooManyPending(t *testing.T) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy, r.config.MaxPending = compile(t, o.document()), 3
		r.start()
		sub := submission()
		for i := range 3 {
			sub.Digest[0] = byte(i + 1)
			r.wait(sub, ci)
		}
		r.wait(sub, ci) // the same again is no other request
		sub.Digest[0] = 99
		_, err := r.core.Submit(t.Context(), sub, ci, "")
		wantKind(t, err, signer.KindTooMany)
		r.wait(sub, daveUser)
		mine := r.requests()[1]
		if _, err := r.core.Cancel(t.Context(), mine.ID, ci); err != nil {
			t.Fatal(err)
		}
		r.wait(sub, ci)
	})
}

// A token is good for one request, and for that as often as it takes.
func TestTokenReplay(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		job := ci
		job.Token = &policy.Token{Issuer: "github", Subject: "repo:acme/shop", ID: "jti-1", Expires: time.Now().Add(time.Minute)}
		sub := submission()
		sub.Channel = "staging"
		first := r.mustSubmit(sub, job)
		if again := r.mustSubmit(sub, job); again.ID != first.ID {
			t.Error("the same request with the same token is another one")
		}
		other := sub
		other.Digest[0]++
		_, err := r.submit(other, job, "")
		if e := wantKind(t, err, signer.KindDenied); !strings.Contains(e.Detail, "used for another request") {
			t.Errorf("got %q, want it to say that the token was used", e.Detail)
		}
		r.stop()
		r.start()
		_, err = r.submit(other, job, "")
		wantKind(t, err, signer.KindDenied)
		fresh := *job.Token
		fresh.ID = "jti-2"
		job.Token = &fresh
		r.mustSubmit(other, job)
		if again := r.mustSubmit(sub, job); again.ID != first.ID {
			t.Error("a retry with another token of the same subject is another request")
		}
	})
}

// Somebody who is in two groups approves without, and then with verifying themselves
// to their key: the second counts where it is wanted.
func TestApprovalIsUpgradedByUserVerification(t *testing.T) {
	o := newOffice(t)
	eve, bob := policytest.NewPerson(t, "eve", policytest.SKEd25519), policytest.NewPerson(t, "bob", policytest.Ed25519)
	bubble(t, func(t *testing.T, r *rig) {
		d := o.document()
		d.AllowedSigners = append(d.AllowedSigners, policytest.AllowedSigners(eve, bob)...)
		d.Groups["release"], d.Groups["board"] = []string{"eve", "bob"}, []string{"eve"}
		d.Rules[1].Approvals = []policy.Requirement{{From: []string{"release"}, Threshold: 1}, {From: []string{"board"}, Threshold: 1, UserVerification: true}}
		r.config.Policy = compile(t, d)
		r.start()
		req := r.wait(submission(), ci)
		eve.Authenticator.Flags = 0x01 // user present
		if got := r.agree(req, eve, bob); got.State != signer.Pending {
			t.Fatalf("without user verification: %s", got.State)
		}
		eve.Authenticator.Flags = 0x05 // and verified
		if got := r.agree(req, eve); got.State != signer.Authorized {
			t.Errorf("with user verification: %s, missing %+v; want authorized", got.State, r.core.Missing(got))
		}
		r.end(req.ID)
	})
}

// All have agreed, but what holds the request up lasts longer than its time: it is
// not signed after that.
func TestExpiresBetweenTheLastApprovalAndSigning(t *testing.T) {
	inOffice(t, func(t *testing.T, r *rig, o *office) {
		req := r.wait(submission(), ci)
		f := r.freeze()
		if got := r.agree(req, o.anna, o.ben, o.cleo); got.State != signer.Pending {
			t.Fatalf("under a freeze it is %s, want pending", got.State)
		}
		r.clock.move(2 * time.Hour)
		r.thaw(f, o.cleo, o.dave)
		if got := r.end(req.ID); got.State != signer.Expired || r.key.used() != 0 {
			t.Errorf("it is %s, and %d payloads were signed; want it expired and none", got.State, r.key.used())
		}
	})
}
