package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
)

func (r *rig) freeze(body string) *wire.Freeze {
	r.t.Helper()
	a := r.call("POST", "/v1/freezes", "application/json", body)
	if a.status != http.StatusCreated {
		r.t.Fatalf("status %d: %s", a.status, a.body)
	}
	f := new(wire.Freeze)
	a.into(f)
	return f
}

func (r *rig) frozen() []wire.Freeze {
	r.t.Helper()
	var list wire.FreezeList
	r.get("/v1/freezes").into(&list)
	return list.Freezes
}

func TestFreezeStopsSigningUntilItIsLifted(t *testing.T) {
	r := newRig(t, api.Config{})
	if list := r.frozen(); len(list) != 0 {
		t.Errorf("found %+v at first", list)
	}
	f := r.freeze(`{"app_id":"com.acme.shop","reason":" a runner was broken into "}`)
	if f.AppID != "com.acme.shop" || f.Reason != "a runner was broken into" || f.By.User != r.me.Username || len(f.Missing) != 1 || f.Lifted {
		t.Errorf("got %+v", f)
	}
	p := r.submit(nil).problem(http.StatusForbidden, wire.ProblemDenied)
	if !strings.Contains(p.Detail, "a runner was broken into") {
		t.Errorf("it does not say why: %s", p.Detail)
	}
	r.submit(func(s *wire.Submit) { s.AppID = "com.acme.bank" }).signature(http.StatusCreated)
	if list := r.frozen(); len(list) != 1 || list[0].ID != f.ID {
		t.Errorf("found %+v", list)
	}
	lifts := "/v1/freezes/" + f.ID + "/lifts"
	// Where people must agree, being an operator is not enough, nor is another word.
	r.say(lifts, map[string]string{}).problem(http.StatusForbidden, wire.ProblemApproval)
	r.say(lifts, map[string]string{"sshsig": r.alice.Sign(policy.ApprovalNamespace, f.Statement)}).problem(http.StatusForbidden, wire.ProblemApproval)
	r.say("/v1/freezes/unknown/lifts", map[string]string{"sshsig": r.alice.Sign(policy.ThawNamespace, f.Statement)}).problem(404, wire.ProblemNotFound)

	var lifted wire.Freeze
	a := r.say(lifts, map[string]string{"sshsig": r.alice.Sign(policy.ThawNamespace, f.Statement)})
	if a.into(&lifted); a.status != http.StatusOK || !lifted.Lifted || len(lifted.Approvals) != 1 || len(lifted.Missing) != 0 {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	if list := r.frozen(); len(list) != 0 {
		t.Errorf("found %+v at last", list)
	}
	r.submit(nil).signature(http.StatusCreated)
}

func TestFreezesThatAreNone(t *testing.T) {
	r := newRig(t, api.Config{})
	for name, c := range map[string]struct{ body, field string }{
		"nothing":       {`{"reason":"x"}`, "/all"},
		"two things":    {`{"all":true,"app_id":"com.acme.shop","reason":"x"}`, "/all"},
		"no reason":     {`{"all":true}`, "/reason"},
		"blank reason":  {`{"all":true,"reason":" "}`, "/reason"},
		"hidden reason": {`{"all":true,"reason":"a\u202eb"}`, "/reason"},
		"long reason":   {`{"all":true,"reason":"` + strings.Repeat("x", 501) + `"}`, "/reason"},
		"no app id":     {`{"app_id":"shop","reason":"x"}`, "/app_id"},
		"misspelt app":  {`{"app_id":"com.acme.shpo","reason":"x"}`, "/app_id"},
		"misspelt key":  {`{"key":"acme-shpo","reason":"x"}`, "/key"},
		"a field more":  {`{"all":true,"reason":"x","until":"tomorrow"}`, "/until"},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.in(t).call("POST", "/v1/freezes", "application/json", c.body).problem(422, wire.ProblemInvalidField)
			if p.Field != c.field {
				t.Errorf("it is about field %q, want %q: %s", p.Field, c.field, p.Detail)
			}
		})
	}
	if list := r.frozen(); len(list) != 0 {
		t.Errorf("found %+v", list)
	}
}

func TestThawRefusesBadInput(t *testing.T) {
	r := newRig(t, api.Config{})
	f := r.freeze(`{"key":"acme-shop","reason":"x"}`)
	for body, field := range map[string]string{
		`{"sshsig":"hello"}`:            "/sshsig",
		`{"sshsig":"x","reason":"why"}`: "/reason",
		`{"reason":"why"}`:              "/reason",
		`{"force":true}`:                "/force",
	} {
		p := r.call("POST", "/v1/freezes/"+f.ID+"/lifts", "application/json", body).problem(422, wire.ProblemInvalidField)
		if p.Field != field {
			t.Errorf("%s: it is about field %q, want %q", body, p.Field, field)
		}
	}
}
