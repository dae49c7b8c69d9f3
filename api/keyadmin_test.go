package api_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

// admin posts to a path of the operators.
func (r *rig) admin(path, body string) *answer {
	r.t.Helper()
	return r.call("POST", path, "application/json", body)
}

// leaf returns an entry of the log.
func (r *rig) leaf(index int64) *audit.Leaf {
	r.t.Helper()
	var rec wire.LogEntry
	r.get(fmt.Sprintf("/v1/log/entries/%d", index)).into(&rec)
	l, err := audit.DecodeLeaf([]byte(rec.Entry))
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// newest returns the last entry of the log.
func (r *rig) newest() *audit.Leaf {
	r.t.Helper()
	var st wire.Status
	r.get("/v1/status").into(&st)
	return r.leaf(st.LogSize - 1)
}

func (r *rig) wantOperation(action audit.KeyAction, phase audit.KeyPhase, reason string) *audit.Leaf {
	r.t.Helper()
	l := r.newest()
	if l.Type != audit.LeafKey || l.Operation == nil || l.Operation.Action != action || l.Operation.Phase != phase ||
		l.Reason != reason || l.Requester == nil || int(l.Requester.UID) != os.Getuid() {
		r.t.Errorf("the newest entry is %+v, %+v, want %s %s by this user for %q", l, l.Operation, action, phase, reason)
	}
	return l
}

func TestKeyIsDisabledAndEnabled(t *testing.T) {
	r := newRig(t, api.Config{})
	r.submit(nil).signature(http.StatusCreated)
	var k wire.Key
	r.admin("/v1/keys/acme-shop/disable", `{"reason":"  a runner was broken into "}`).into(&k)
	if k.State != "disabled" || k.Detail != "a runner was broken into" {
		t.Errorf("it is %q, %q, want disabled, and why", k.State, k.Detail)
	}
	if l := r.wantOperation(audit.KeyDisable, audit.OperationDone, "a runner was broken into"); l.Key != "acme-shop" || l.KeyFingerprint != r.public.Fingerprint() {
		t.Errorf("the entry is about %s, %s", l.Key, l.KeyFingerprint)
	}
	p := r.submit(func(s *wire.Submit) { s.Version = "2.0.0" }).problem(503, wire.ProblemKeyUnusable)
	if !strings.Contains(p.Detail, "a runner was broken into") {
		t.Errorf("the refusal does not say why: %s", p.Detail)
	}
	r.admin("/v1/keys/acme-shop/check", `{}`).problem(503, wire.ProblemKeyUnusable)

	r.admin("/v1/keys/acme-shop/enable", `{"reason":"it was another one"}`).into(&k)
	if k.State == "disabled" {
		t.Errorf("it is %q after it was enabled", k.State)
	}
	r.wantOperation(audit.KeyEnable, audit.OperationDone, "it was another one")
	r.admin("/v1/keys/acme-shop/enable", `{"reason":"again"}`).problem(409, wire.ProblemConflict)
	r.submit(func(s *wire.Submit) { s.Version = "2.0.0" }).signature(http.StatusCreated)
}

func TestKeyIsChecked(t *testing.T) {
	r := newRig(t, api.Config{})
	a := r.admin("/v1/keys/acme-shop/check", `{}`)
	var c wire.KeyCheck
	a.into(&c)
	if !c.OK || c.Key.Name != "acme-shop" || c.TookSeconds <= 0 {
		t.Errorf("got %s, want it well", a.body)
	}
	l := r.wantOperation(audit.KeyCheck, audit.OperationDone, "")
	if l.Operation.Begun == nil || r.leaf(*l.Operation.Begun).Operation.Phase != audit.OperationBegun {
		t.Errorf("the log does not have that it began: %+v", l.Operation)
	}
}

func TestKeyAdminRefusesBadInput(t *testing.T) {
	r := newRig(t, api.Config{})
	before := r.newest().Time
	for name, c := range map[string]struct {
		path, body string
		status     int
		typ, field string
	}{
		"no reason":       {"/v1/keys/acme-shop/disable", `{}`, 422, wire.ProblemInvalidField, "/reason"},
		"blank reason":    {"/v1/keys/acme-shop/disable", `{"reason":" \t"}`, 422, wire.ProblemInvalidField, "/reason"},
		"two lines":       {"/v1/keys/acme-shop/disable", `{"reason":"a\nb"}`, 422, wire.ProblemInvalidField, "/reason"},
		"long reason":     {"/v1/keys/acme-shop/enable", `{"reason":"` + strings.Repeat("x", 1001) + `"}`, 422, wire.ProblemInvalidField, "/reason"},
		"a field more":    {"/v1/keys/acme-shop/disable", `{"reason":"x","force":true}`, 422, wire.ProblemInvalidField, "/force"},
		"check's field":   {"/v1/keys/acme-shop/check", `{"payload":"x"}`, 422, wire.ProblemInvalidField, "/payload"},
		"check's nothing": {"/v1/keys/acme-shop/check", ``, 400, wire.ProblemInvalidBody, ""},
		"no such key":     {"/v1/keys/other/disable", `{"reason":"x"}`, 404, wire.ProblemNotFound, ""},
		"none to enable":  {"/v1/keys/other/enable", `{"reason":"x"}`, 404, wire.ProblemNotFound, ""},
		"none to check":   {"/v1/keys/other/check", `{}`, 404, wire.ProblemNotFound, ""},
		"a parameter":     {"/v1/keys/acme-shop/check?deep=1", `{}`, 422, wire.ProblemInvalidField, "/deep"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			if p := r.admin(c.path, c.body).problem(c.status, c.typ); p.Field != c.field {
				t.Errorf("it is about field %q, want %q: %s", p.Field, c.field, p.Detail)
			}
		})
	}
	if !r.newest().Time.Equal(before) {
		t.Error("something of it is in the log")
	}
}

// in returns the rig for a subtest.
func (r *rig) in(t *testing.T) *rig {
	c := *r
	c.t = t
	return &c
}

func TestOperationsAreRecorded(t *testing.T) {
	r := newRig(t, api.Config{})
	var first, second wire.Recorded
	r.admin("/v1/log/operations", `{"action":"create","phase":"begun","key":"acme-2","uri":"pkcs11:token=prod;object=acme-2","reason":"the old one is old"}`).into(&first)
	l := r.leaf(first.Index)
	if l.Type != audit.LeafKey || l.Key != "acme-2" || l.Operation.URI != "pkcs11:token=prod;object=acme-2" || l.Reason != "the old one is old" || l.Requester.User != r.me.Username {
		t.Errorf("the entry is %+v, %+v", l, l.Operation)
	}
	fingerprint := "SHA256:" + strings.Repeat("ab", 32)
	r.admin("/v1/log/operations", fmt.Sprintf(`{"action":"create","phase":"done","begun":%d,"key":"acme-2","uri":"pkcs11:token=prod;object=acme-2","fingerprint":%q,
		"custody":{"level":"never-extractable","backend":"pkcs11","evidence":{"CKA_SENSITIVE":"true"}}}`, first.Index, fingerprint)).into(&second)
	l = r.leaf(second.Index)
	if l.KeyFingerprint != fingerprint || *l.Operation.Begun != first.Index || !strings.Contains(fmt.Sprint(l.Custody), "never-extractable") {
		t.Errorf("the entry is %+v, %+v", l, l.Operation)
	}
}

// The log takes no word of an operator that is not about a key, in its form.
func TestOperationsThatAreNone(t *testing.T) {
	r := newRig(t, api.Config{})
	var begun wire.Recorded
	r.admin("/v1/log/operations", `{"action":"import","phase":"begun","key":"a","uri":"pkcs11:object=a"}`).into(&begun)
	ok := `"key":"a","uri":"pkcs11:object=a"`
	done := ok + `,"phase":"done","fingerprint":"SHA256:` + strings.Repeat("0", 64) + `"`
	for name, c := range map[string]struct{ body, field string }{
		"free action":             {`{"action":"signed","phase":"begun",` + ok + `}`, "/action"},
		"the daemon's own action": {`{"action":"disable","phase":"begun",` + ok + `}`, "/action"},
		"phase":                   {`{"action":"create","phase":"soon",` + ok + `}`, "/phase"},
		"begun with begun":        {`{"action":"create","phase":"begun","begun":0,` + ok + `}`, "/begun"},
		"done from nowhere":       {`{"action":"import",` + done + `}`, "/begun"},
		"done before the log":     {`{"action":"import","begun":-1,` + done + `}`, "/begun"},
		"done after the log":      {`{"action":"import","begun":99,` + done + `}`, "/begun"},
		"done of another entry":   {`{"action":"import","begun":0,` + done + `}`, "/begun"},
		"done of another action":  {fmt.Sprintf(`{"action":"create","begun":%d,%s}`, begun.Index, done), "/begun"},
		"done of another key":     {fmt.Sprintf(`{"action":"import","begun":%d,%s}`, begun.Index, strings.Replace(done, `"a"`, `"b"`, 1)), "/begun"},
		"done without a key":      {fmt.Sprintf(`{"action":"import","phase":"done","begun":%d,%s}`, begun.Index, ok), "/fingerprint"},
		"failed without a reason": {fmt.Sprintf(`{"action":"import","phase":"failed","begun":%d,%s}`, begun.Index, ok), "/reason"},
		"name":                    {`{"action":"create","phase":"begun","key":"A key","uri":"pkcs11:object=a"}`, "/key"},
		"no URI":                  {`{"action":"create","phase":"begun","key":"a","uri":""}`, "/uri"},
		"a PIN":                   {`{"action":"create","phase":"begun","key":"a","uri":"pkcs11:object=a?Pin-Value=1234"}`, "/uri"},
		"URI of lines":            {`{"action":"create","phase":"begun","key":"a","uri":"pkcs11:\nobject=a"}`, "/uri"},
		"long URI":                {`{"action":"create","phase":"begun","key":"a","uri":"pkcs11:` + strings.Repeat("x", 2000) + `"}`, "/uri"},
		"fingerprint":             {`{"action":"create","phase":"begun","fingerprint":"MD5:00",` + ok + `}`, "/fingerprint"},
		"custody":                 {`{"action":"create","phase":"begun","custody":{"level":"splendid","backend":"x","evidence":{}},` + ok + `}`, "/custody/level"},
		"evidence of lines":       {`{"action":"create","phase":"begun","custody":{"level":"software","backend":"x","evidence":{"a":"b\u001b[2J"}},` + ok + `}`, "/custody/evidence"},
		"free member":             {`{"action":"create","phase":"begun","type":"released",` + ok + `}`, "/type"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := r.in(t).admin("/v1/log/operations", c.body).problem(422, wire.ProblemInvalidField); p.Field != c.field {
				t.Errorf("it is about field %q, want %q: %s", p.Field, c.field, p.Detail)
			}
		})
	}
	var st wire.Status
	r.get("/v1/status").into(&st)
	if st.LogSize != begun.Index+1 {
		t.Errorf("the log has %d entries, want %d: nothing of it", st.LogSize, begun.Index+1)
	}
}
