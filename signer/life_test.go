package signer_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
)

const (
	lifeSteps = 210    // of each sequence; rapid makes 100 of them
	minSteps  = 20_000 // of all
)

// TestLife drives random interleavings of everything that can happen to requests
// against a model, and after every step holds the log and the records to
// invariants 1, 4 and 5: nothing is signed but what was authorized, by exactly
// the statement that enough people signed, under the policy in force, with no
// freeze, in time, once; and with several keys, with all of those.
func TestLife(t *testing.T) {
	o := newOffice(t)
	policies := lifePolicies(t, o)
	var steps, signed int
	rapid.Check(t, func(rt *rapid.T) {
		todo := rapid.SliceOfN(rapid.IntRange(0, 1<<30), lifeSteps, lifeSteps).Draw(rt, "steps")
		var l *life
		var failed error
		bubble(t, func(t *testing.T, r *rig) {
			r.quiet, r.config.Policy = true, policies[0]
			r.withNewKey()
			r.start()
			l = newLife(r, o, policies)
			for i, n := range todo {
				step := l.step(n)
				if err := l.check(i%20 == 0); err != nil {
					failed = fmt.Errorf("step %d, %s: %w", i, step, err)
					return
				}
				steps++
			}
		})
		if failed != nil {
			rt.Fatalf("%v\nthe last steps:\n%s", failed, strings.Join(l.history, "\n"))
		}
		signed += l.signed
	})
	t.Logf("%d steps, %d requests signed", steps, signed)
	if steps < minSteps {
		t.Errorf("%d steps, want at least %d", steps, minSteps)
	}
	if signed < steps/lifeSteps {
		t.Errorf("only %d requests were signed: the steps hardly ever get that far", signed)
	}
}

// lifePolicies are the office's, one in which less is wanted, and one without Ben.
func lifePolicies(t *testing.T, o *office) []*policy.Policy {
	full := o.document()
	less := o.document()
	less.Rules[1].Approvals = []policy.Requirement{{From: []string{"release"}, Threshold: 1}}
	small := o.document()
	small.AllowedSigners = policytest.AllowedSigners(o.anna, o.ann2, o.cleo, o.dave)
	small.Groups = map[string][]string{"release": {"anna", "dave"}, "security": {"cleo", "dave"}}
	return []*policy.Policy{compile(t, full), compile(t, less), compile(t, small)}
}

// life is one sequence of steps with its model.
type life struct {
	r        *rig
	o        *office
	policies []*policy.Policy
	current  int // policy in force
	ids      []string
	said     []said // every signature that anybody ever made
	history  []string

	// What the log has told so far.
	next    int64
	log     map[string]*lifeOf
	inForce string            // policy hash
	freezes map[string]string // the fingerprint of the key that is frozen, or "": all
	used    map[string]string // SSHSIG -> request that it was spent for
	signed  int
}

// lifeOf is what the log says of one request.
type lifeOf struct {
	state     audit.LeafType
	statement string
	digest    string
	keys      []string          // names of the further keys, and their fingerprints
	approvals map[string]string // of this statement: person -> SSHSIG
}

type said struct {
	id, namespace, sshsig string
}

func newLife(r *rig, o *office, policies []*policy.Policy) *life {
	return &life{
		r: r, o: o, policies: policies, log: map[string]*lifeOf{}, freezes: map[string]string{}, used: map[string]string{},
	}
}

// step does one thing, chosen by a number, and says what.
func (l *life) step(n int) (name string) {
	defer func() {
		l.history = append(l.history, name)
		l.history = l.history[max(0, len(l.history)-12):]
	}()
	ctx := l.r.t.Context()
	pick := func(of int) int { n /= 7; return n % of }
	switch kind := n % 100; {
	case kind < 18:
		sub := submission()
		sub.Digest[1] = byte(pick(40))
		sub.Channel = []string{"production", "production", "production", "staging", "closed"}[pick(5)]
		if pick(12) == 0 {
			sub.BreakGlass = "an emergency"
		}
		if pick(3) == 0 {
			sub.Also = rotating().Also
		}
		who := []policy.Identity{ci, ci, daveUser, {UID: 7}}[pick(4)]
		req, err := l.r.core.Submit(ctx, sub, who, "")
		if err == nil && !slices.Contains(l.ids, req.ID) {
			l.ids = append(l.ids, req.ID)
		}
		return fmt.Sprintf("submit to %s by %s: %v", sub.Channel, who, err)
	case kind < 70:
		return l.speak(pick)
	case kind < 74 && len(l.ids) > 0:
		id := l.ids[pick(len(l.ids))]
		_, err := l.r.core.Cancel(ctx, id, ci)
		return fmt.Sprintf("cancel %s: %v", id, err)
	case kind < 80:
		d := time.Duration(1+pick(50)) * time.Minute
		l.r.clock.move(d)
		return fmt.Sprintf("%s pass", d)
	case kind < 83:
		l.current = pick(len(l.policies))
		return fmt.Sprintf("policy %d: %v", l.current, l.r.core.SetPolicy(ctx, l.policies[l.current]))
	case kind < 86:
		f := signer.Freeze{Reason: "why"}
		switch pick(3) {
		case 0:
			f.All = true
		case 1:
			f.AppID = "com.acme.shop"
		case 2:
			f.Key = "acme-new"
		}
		_, err := l.r.core.Freeze(ctx, f, daveUser, false)
		return fmt.Sprintf("freeze: %v", err)
	case kind < 92:
		freezes, err := l.r.core.Freezes(ctx)
		if err != nil || len(freezes) == 0 {
			return "no freeze to lift"
		}
		f := &freezes[pick(len(freezes))]
		p := l.anybody(pick)
		_, err = l.r.core.Thaw(ctx, f.ID, p.Sign(policy.ThawNamespace, f.Statement), ci, false)
		return fmt.Sprintf("%s lifts %s: %v", p.Name, f.ID, err)
	case kind < 94:
		// A write fails, as on a full disk.
		l.r.store.failWith(func(n int) error {
			if n == 0 {
				return signer.ErrStoreFull
			}
			return nil
		})
		return "the next write fails"
	case kind < 96:
		l.r.clock.move(-time.Duration(3+pick(30)) * time.Second)
		return "the clock is set back"
	case kind < 98:
		l.r.stop()
		l.r.config.Policy = l.policies[l.current]
		l.r.start()
		return "restart"
	default:
		return fmt.Sprintf("what waits is looked at: %v", l.r.core.Reconsider(ctx))
	}
}

func (l *life) anybody(pick func(int) int) *policytest.Person {
	return append(l.o.staff(), l.o.mallory)[pick(6)]
}

// speak has somebody approve or reject, rightly or not.
func (l *life) speak(pick func(int) int) string {
	if len(l.ids) == 0 {
		return "nothing to approve"
	}
	id := l.ids[len(l.ids)-1-pick(min(len(l.ids), 3))]
	if pick(10) == 0 && len(l.said) > 0 {
		s := l.said[pick(len(l.said))]
		_, err := l.r.core.Approve(l.r.t.Context(), id, s.sshsig)
		return fmt.Sprintf("a signature for %s is used for %s: %v", s.id, id, err)
	}
	p := l.anybody(pick)
	statement := l.r.state(id).Statement
	if statement == "" {
		statement = "nothing"
	}
	s := said{id: id, namespace: policy.ApprovalNamespace}
	if pick(25) == 0 {
		s.namespace = policy.RejectionNamespace
	}
	s.sshsig = p.Sign(s.namespace, statement)
	l.said = append(l.said, s)
	var err error
	if s.namespace == policy.RejectionNamespace && pick(4) > 0 {
		_, err = l.r.core.Reject(l.r.t.Context(), id, s.sshsig, "no")
		return fmt.Sprintf("%s rejects %s: %v", p.Name, id, err)
	}
	_, err = l.r.core.Approve(l.r.t.Context(), id, s.sshsig)
	return fmt.Sprintf("%s approves %s: %v", p.Name, id, err)
}

// check reads what is new in the log, holds each entry to what was before it, and
// the records that moved to the log, or all of them.
func (l *life) check(all bool) error {
	ctx := l.r.t.Context()
	msg, err := l.r.store.Log().Checkpoint(ctx)
	if err != nil {
		return err
	}
	tree, err := audit.OpenCheckpoint(msg, l.r.verifier)
	if err != nil {
		return err
	}
	moved := map[string]bool{}
	if tree.N > l.next {
		entries, err := l.r.store.Log().Entries(ctx, l.next, tree.N)
		if err != nil {
			return err
		}
		for _, e := range entries {
			leaf, err := audit.DecodeLeaf(e)
			if err != nil {
				return err
			}
			if err := l.follow(leaf); err != nil {
				return fmt.Errorf("entry %d, %s of %s: %w", l.next, leaf.Type, leaf.Request, err)
			}
			moved[leaf.Request] = true
			l.next++
		}
	}
	for id, of := range l.log {
		if !all && !moved[id] {
			continue
		}
		r, err := l.r.core.Request(l.r.t.Context(), id)
		if err != nil {
			return err
		}
		want := signer.State(of.state)
		if of.state == audit.LeafApproved {
			want = signer.Pending
		}
		// The log may be ahead of what was read from it: signing goes on.
		if r.State != want && want != signer.Authorized {
			return fmt.Errorf("request %s is %s in its record and %s in the log", id, r.State, want)
		}
		if r.State != signer.Signed && r.Result != nil {
			return fmt.Errorf("request %s is %s and has a result", id, r.State)
		}
	}
	return nil
}

// follow holds one entry to the log before it.
func (l *life) follow(leaf *audit.Leaf) error {
	switch leaf.Type {
	case audit.LeafStarted, audit.LeafPolicy:
		l.inForce = leaf.Policy
		return nil
	case audit.LeafFreeze:
		l.freezes[leaf.Freeze] = leaf.KeyFingerprint
		return nil
	case audit.LeafThaw:
		if leaf.Lifted {
			delete(l.freezes, leaf.Freeze)
		}
		return nil
	}
	of := l.log[leaf.Request]
	if of == nil {
		of = &lifeOf{digest: leaf.Digest, keys: furtherKeys(leaf)}
		l.log[leaf.Request] = of
	}
	before := of.state
	waits := before == audit.LeafPending || before == audit.LeafApproved
	legal := map[audit.LeafType]bool{
		audit.LeafPending: before == "" || waits, audit.LeafApproved: waits, audit.LeafRejected: waits, audit.LeafExpired: waits,
		audit.LeafAuthorized: before == "" || waits, audit.LeafDenied: before == "" || waits,
		audit.LeafSigned: before == audit.LeafAuthorized, audit.LeafFailed: before == audit.LeafAuthorized,
		audit.LeafCancelled: waits || before == audit.LeafAuthorized,
	}
	if !legal[leaf.Type] {
		return fmt.Errorf("it follows %q", before)
	}
	if leaf.Digest != of.digest {
		return errors.New("the digest is another")
	}
	if !slices.Equal(furtherKeys(leaf), of.keys) {
		return fmt.Errorf("its further keys are %q, and were %q", furtherKeys(leaf), of.keys)
	}
	of.state = leaf.Type
	if leaf.Decision != nil && leaf.Decision.PolicyHash != l.inForce {
		return fmt.Errorf("decided by policy %s, in force is %s", leaf.Decision.PolicyHash, l.inForce)
	}
	switch leaf.Type {
	case audit.LeafPending:
		of.statement, of.approvals = leaf.Statement, map[string]string{}
	case audit.LeafApproved:
		of.approvals[leaf.Approval.Person] = leaf.Approval.SSHSIG
	case audit.LeafAuthorized:
		return l.followAuthorized(leaf, of)
	case audit.LeafSigned:
		l.signed++
		for _, k := range leaf.Also {
			if k.ChecksumSHA256 == "" || k.SessionKeySHA256 == "" {
				return fmt.Errorf("signed, but not with key %s", k.Key)
			}
		}
	}
	return nil
}

// furtherKeys are what an entry says of which keys a request has beside the first.
func furtherKeys(leaf *audit.Leaf) (out []string) {
	for _, k := range leaf.Also {
		out = append(out, fmt.Sprintf("%s, %s, checksum format %s", k.Key, k.KeyFingerprint, k.Format))
	}
	return out
}

// followAuthorized is invariant 5, from nothing but the log and the people's keys.
func (l *life) followAuthorized(leaf *audit.Leaf, of *lifeOf) error {
	for id, key := range l.freezes {
		stops := key == "" || key == leaf.KeyFingerprint || slices.ContainsFunc(leaf.Also, func(k audit.AlsoKey) bool { return k.KeyFingerprint == key })
		if stops && !leaf.Decision.BreakGlass {
			return fmt.Errorf("authorized under freeze %s", id)
		}
	}
	if leaf.Decision.Effect == policy.Allow {
		if leaf.Channel != "staging" {
			return errors.New("allowed without approvals")
		}
		return nil
	}
	var p *policy.Policy
	for _, candidate := range l.policies {
		if candidate.Hash() == l.inForce {
			p = candidate
		}
	}
	for _, line := range []string{
		"request: " + leaf.Request, "digest: sha256:" + leaf.Digest, "channel: " + leaf.Channel, "version: " + leaf.Release,
		"policy: " + l.inForce, "key: " + leaf.Key + ", " + leaf.KeyFingerprint,
	} {
		if !strings.Contains(of.statement, line+"\n") {
			return fmt.Errorf("the statement has no line %q:\n%s", line, of.statement)
		}
	}
	var said []string
	for line := range strings.Lines(of.statement) {
		if key, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "also key: "); ok {
			said = append(said, key)
		}
	}
	if !slices.Equal(said, of.keys) {
		return fmt.Errorf("people agreed to the further keys %q, and it is authorized for %q", said, of.keys)
	}
	for line := range strings.Lines(of.statement) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "expires: "); ok {
			expires, err := time.Parse(time.RFC3339, at)
			if err != nil || !leaf.Time.Before(expires.Add(time.Second)) {
				return fmt.Errorf("authorized at %s, expired at %s", leaf.Time, at)
			}
		}
	}
	people := map[string]bool{}
	for _, a := range leaf.Approvals {
		sshsig := of.approvals[a.Person]
		who, err := p.People().Verify(policy.ApprovalNamespace, []byte(of.statement), sshsig, leaf.Time)
		if err != nil {
			return fmt.Errorf("approval of %s: %w", a.Person, err)
		}
		if other, spent := l.used[sshsig]; spent {
			return fmt.Errorf("an approval was spent for %s already", other)
		}
		l.used[sshsig] = leaf.Request
		people[who.Person] = true
	}
	if leaf.Requester.User == "dave" {
		delete(people, "dave")
	}
	if !l.enough(leaf, people) {
		return fmt.Errorf("authorized with %v", slices.Sorted(maps.Keys(people)))
	}
	return nil
}

// enough is the policies' demands in the model's own words: in how many ways people
// can be told apart as release managers and security is counted by hand.
func (l *life) enough(leaf *audit.Leaf, people map[string]bool) bool {
	count := func(names ...string) (n int) {
		for _, name := range names {
			if people[name] {
				n++
			}
		}
		return n
	}
	if leaf.Decision.BreakGlass {
		return count("cleo", "dave") >= 1
	}
	release := []string{"anna", "ben"}
	switch l.inForce {
	case l.policies[1].Hash():
		return count("anna", "ben", "dave") >= 1
	case l.policies[2].Hash():
		release = []string{"anna"}
	}
	// Dave is whichever of the two is wanted.
	asRelease := count(append(release, "dave")...) >= 2 && count("cleo") >= 1
	asSecurity := count(release...) >= 2 && count("cleo", "dave") >= 1
	return asRelease || asSecurity
}
