package signer_test

import (
	"testing"
	"time"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/policy/policytest"
	"github.com/bundlesign/bundlesign/signer"
)

// office is the people of the tests about approvals.
type office struct {
	t testing.TB
	// Anna and Ben are release managers, Cleo is of security, Dave is both and is
	// also the Unix user dave. Ann2 is Anna's second key. Mallory is nobody.
	anna, ann2, ben, cleo, dave, mallory *policytest.Person
}

var (
	ci       = policy.Identity{UID: 1001, User: "ci"}
	daveUser = policy.Identity{UID: 1002, User: "dave"}
)

func newOffice(t testing.TB) *office {
	t.Helper()
	person := func(name string) *policytest.Person { return policytest.NewPerson(t, name, policytest.Ed25519) }
	return &office{
		t: t, anna: person("anna"), ann2: person("anna"), ben: person("ben"),
		cleo: person("cleo"), dave: person("dave"), mallory: person("mallory"),
	}
}

func (o *office) staff() []*policytest.Person {
	return []*policytest.Person{o.anna, o.ann2, o.ben, o.cleo, o.dave}
}

// document is a policy: staging is free, production needs two release managers and
// one of security, emergencies one of security.
func (o *office) document() policy.Document {
	apps := []policy.Glob{"com.acme.shop"}
	return policy.Document{
		AllowedSigners: policytest.AllowedSigners(o.staff()...),
		Groups:         map[string][]string{"release": {"anna", "ben", "dave"}, "security": {"cleo", "dave"}},
		Accounts:       map[string]policy.Accounts{"dave": {Users: []string{"dave"}}},
		Rules: []policy.Rule{
			{Name: "staging", Apps: apps, Channels: []policy.Glob{"staging"}, Effect: policy.Allow},
			{
				Name: "production", Apps: apps, Channels: []policy.Glob{"production"}, Effect: policy.Approve, Expires: 2 * time.Hour,
				Approvals: []policy.Requirement{{From: []string{"release"}, Threshold: 2}, {From: []string{"security"}, Threshold: 1}},
			},
			{
				Name: "emergency", Apps: apps, BreakGlass: true, Effect: policy.Approve, Expires: time.Hour,
				Approvals: []policy.Requirement{{From: []string{"security"}, Threshold: 1}},
			},
		},
		Freezes: policy.Freezes{Users: []policy.Glob{"dave"}, Lift: []policy.Requirement{{From: []string{"security"}, Threshold: 2}}},
	}
}

func compile(t testing.TB, d policy.Document) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inOffice runs a test in a bubble with a core that has the office's policy.
func inOffice(t *testing.T, fn func(t *testing.T, r *rig, o *office)) {
	o := newOffice(t)
	bubble(t, func(t *testing.T, r *rig) {
		r.config.Policy = compile(t, o.document())
		r.start()
		fn(t, r, o)
	})
}

// wait submits for production, and expects it to be pending.
func (r *rig) wait(sub signer.Submission, who policy.Identity) *signer.Request {
	r.t.Helper()
	req, err := r.core.Submit(r.t.Context(), sub, who, "")
	if err != nil || req.State != signer.Pending {
		r.t.Fatalf("submitting: %+v, %v; want it pending", req, err)
	}
	return req
}

func (r *rig) approve(req *signer.Request, p *policytest.Person) (*signer.Request, error) {
	return r.core.Approve(r.t.Context(), req.ID, p.Sign(policy.ApprovalNamespace, req.Statement))
}

// agree has everybody approve, which must count.
func (r *rig) agree(req *signer.Request, people ...*policytest.Person) *signer.Request {
	r.t.Helper()
	out := req
	for _, p := range people {
		var err error
		if out, err = r.approve(req, p); err != nil {
			r.t.Fatalf("%s approves: %v", p.Name, err)
		}
	}
	return out
}

// end waits for the end of a request.
func (r *rig) end(id string) *signer.Request {
	r.t.Helper()
	req, err := r.core.Wait(r.t.Context(), id)
	if err != nil || !req.State.Final() {
		r.t.Fatalf("waiting for request %s: %+v, %v", id, req, err)
	}
	return req
}

// state returns the request as it is now.
func (r *rig) state(id string) *signer.Request {
	r.t.Helper()
	req, err := r.core.Request(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}
