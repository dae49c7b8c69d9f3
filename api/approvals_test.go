package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
)

// say posts a person's word.
func (r *rig) say(path string, body any) *answer {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.call("POST", path, "application/json", string(b))
}

func (r *rig) approve(id, sshsig string) *answer {
	r.t.Helper()
	return r.say("/v1/signatures/"+id+"/approvals", map[string]string{"sshsig": sshsig})
}

func (r *rig) reject(id, sshsig, reason string) *answer {
	r.t.Helper()
	return r.say("/v1/signatures/"+id+"/rejections", map[string]string{"sshsig": sshsig, "reason": reason})
}

// pending submits what two people have to approve.
func (r *rig) pending(version string) *wire.Signature {
	r.t.Helper()
	return r.submit(func(s *wire.Submit) { s.Channel, s.Version = "approved", version }).signature(http.StatusAccepted)
}

func TestTwoPeopleApprove(t *testing.T) {
	r := newRig(t, api.Config{})
	req := r.pending("1.0.0")
	if req.State != "pending" || !strings.HasPrefix(req.Statement, "bundlesign approval v1\n") || req.ExpiresAt == nil || req.Log == nil {
		t.Errorf("got %+v, want what people need who approve it", req)
	}
	if len(req.Missing) != 1 || req.Missing[0].Count != 2 || fmt.Sprint(req.Missing[0].Candidates) != "[alice bob]" || fmt.Sprint(req.Missing[0].From) != "[release]" {
		t.Errorf("missing %+v, want 2 of alice and bob, and not the requester", req.Missing)
	}
	// A list says who is missing, and not what people sign.
	var list wire.SignatureList
	r.get("/v1/signatures?state=pending").into(&list)
	if len(list.Signatures) != 1 || len(list.Signatures[0].Missing) != 1 || list.Signatures[0].Statement != "" {
		t.Errorf("the list is %+v", list)
	}

	sig := r.alice.Sign(policy.ApprovalNamespace, req.Statement)
	got := r.approve(req.ID, sig).signature(http.StatusOK)
	if got.State != "pending" || len(got.Approvals) != 1 || got.Approvals[0].Person != "alice" || got.Approvals[0].Key != r.alice.Fingerprint() ||
		got.Approvals[0].SSHSig != sig || got.Missing[0].Count != 1 || fmt.Sprint(got.Missing[0].Candidates) != "[bob]" {
		t.Errorf("got %+v after alice", got)
	}
	if again := r.approve(req.ID, sig).signature(http.StatusOK); len(again.Approvals) != 1 || again.Missing[0].Count != 1 {
		t.Errorf("the same approval again gave %+v", again)
	}
	got = r.approve(req.ID, r.bob.Sign(policy.ApprovalNamespace, req.Statement)).signature(http.StatusOK)
	if got.State == "pending" || len(got.Approvals) != 2 || len(got.Missing) != 0 || got.Statement != "" {
		t.Errorf("got %+v after both", got)
	}
	got = r.get("/v1/signatures/" + req.ID + "?wait=30s").signature(http.StatusOK)
	if got.State != "signed" || got.Checksum == "" || len(got.Approvals) != 2 {
		t.Errorf("got %+v, want it signed", got)
	}
	p := r.approve(req.ID, sig).problem(http.StatusConflict, wire.ProblemConflict)
	if p.State != "signed" || p.RequestID != req.ID {
		t.Errorf("got %+v", p)
	}
}

func TestApprovalsThatDoNotCount(t *testing.T) {
	r := newRig(t, api.Config{})
	req, other := r.pending("1.0.0"), r.pending("1.0.1")
	for name, sig := range map[string]string{
		"another request":  r.alice.Sign(policy.ApprovalNamespace, other.Statement),
		"another purpose":  r.alice.Sign(policy.RejectionNamespace, req.Statement),
		"the requester's":  r.self.Sign(policy.ApprovalNamespace, req.Statement),
		"base64 of no sig": "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
		"cut in the blob":  strings.Replace(r.alice.Sign(policy.ApprovalNamespace, req.Statement), "\n-----END", "=\n-----END", 1),
	} {
		t.Run(name, func(t *testing.T) {
			r.in(t).approve(req.ID, sig).problem(http.StatusForbidden, wire.ProblemApproval)
		})
	}
	if got := r.get("/v1/signatures/" + req.ID).signature(200); len(got.Approvals) != 0 || got.State != "pending" {
		t.Errorf("it is %+v, want it as before", got)
	}
	r.approve("unknown", r.alice.Sign(policy.ApprovalNamespace, req.Statement)).problem(404, wire.ProblemNotFound)
}

func TestRejection(t *testing.T) {
	r := newRig(t, api.Config{})
	req := r.pending("1.0.0")
	approval := r.alice.Sign(policy.ApprovalNamespace, req.Statement)
	r.approve(req.ID, approval).signature(200)
	// An approval is no rejection.
	r.reject(req.ID, approval, "x").problem(http.StatusForbidden, wire.ProblemApproval)
	sig := r.bob.Sign(policy.RejectionNamespace, req.Statement)
	got := r.reject(req.ID, sig, "  not on a Friday ").signature(200)
	if got.State != "rejected" || got.Rejection == nil || got.Rejection.Person != "bob" || !strings.Contains(got.Reason, "not on a Friday") || got.Statement != "" {
		t.Errorf("got %+v", got)
	}
	r.approve(req.ID, r.bob.Sign(policy.ApprovalNamespace, req.Statement)).problem(http.StatusConflict, wire.ProblemConflict)
}

func TestBadWords(t *testing.T) {
	r := newRig(t, api.Config{})
	req := r.pending("1.0.0")
	good := r.alice.Sign(policy.ApprovalNamespace, req.Statement)
	approvals, rejections := "/v1/signatures/"+req.ID+"/approvals", "/v1/signatures/"+req.ID+"/rejections"
	for name, c := range map[string]struct {
		path  string
		body  any
		field string
	}{
		"nothing":             {approvals, map[string]string{}, "/sshsig"},
		"no armor":            {approvals, map[string]string{"sshsig": "hello"}, "/sshsig"},
		"no end":              {approvals, map[string]string{"sshsig": good[:len(good)/2]}, "/sshsig"},
		"text around it":      {approvals, map[string]string{"sshsig": "hi\n" + good}, "/sshsig"},
		"text after it":       {approvals, map[string]string{"sshsig": good + "hi"}, "/sshsig"},
		"no base64 in it":     {approvals, map[string]string{"sshsig": strings.Replace(good, "U", "\u202e", 1)}, "/sshsig"},
		"too long":            {approvals, map[string]string{"sshsig": strings.Replace(good, "\n", "\n"+strings.Repeat("A", 33<<10), 1)}, "/sshsig"},
		"reason":              {approvals, map[string]string{"sshsig": good, "reason": "why not"}, "/reason"},
		"unknown":             {approvals, map[string]any{"sshsig": good, "person": "alice"}, "/person"},
		"rejected for naught": {rejections, map[string]string{"sshsig": good}, "/reason"},
		"blank reason":        {rejections, map[string]string{"sshsig": good, "reason": " \t"}, "/reason"},
		"two lines":           {rejections, map[string]string{"sshsig": good, "reason": "a\nb"}, "/reason"},
		"hidden reason":       {rejections, map[string]string{"sshsig": good, "reason": "a\u202eb"}, "/reason"},
		"long reason":         {rejections, map[string]string{"sshsig": good, "reason": strings.Repeat("x", 501)}, "/reason"},
		"a parameter":         {approvals + "?force=1", map[string]string{"sshsig": good}, "/force"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := r.in(t).say(c.path, c.body).problem(422, wire.ProblemInvalidField); p.Field != c.field {
				t.Errorf("it is about field %q, want %q: %s", p.Field, c.field, p.Detail)
			}
		})
	}
	if got := r.get("/v1/signatures/" + req.ID).signature(200); len(got.Approvals) != 0 || got.State != "pending" {
		t.Errorf("it is %+v, want it as before", got)
	}
}

func TestBreakGlass(t *testing.T) {
	r := newRig(t, api.Config{})
	got := r.submit(func(s *wire.Submit) { s.BreakGlass = " the shop is down " }).signature(http.StatusAccepted)
	if got.BreakGlass != "the shop is down" || got.Rule != "emergency" || !strings.Contains(got.Statement, "\nEMERGENCY: the shop is down\n") {
		t.Errorf("got %+v", got)
	}
	for _, bad := range []string{" ", "two\nlines", "hidden \u202e", strings.Repeat("x", 501)} {
		p := r.submit(func(s *wire.Submit) { s.BreakGlass = bad }).problem(422, wire.ProblemInvalidField)
		if p.Field != "/break_glass" {
			t.Errorf("%q: it is about %s", bad, p.Field)
		}
	}
}
