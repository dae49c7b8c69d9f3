package clienttest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

// pending is the state of a request that waits for approvals.
const (
	pending = "pending"
	signed  = "signed"
)

func (d *FakeDaemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/signatures", d.submit)
	mux.HandleFunc("GET /v1/signatures", d.list)
	mux.HandleFunc("GET /v1/signatures/{id}", d.get)
	mux.HandleFunc("DELETE /v1/signatures/{id}", d.cancel)
	mux.HandleFunc("GET /v1/keys", d.keys)
	mux.HandleFunc("GET /v1/keys/{name}", d.keyByName)
	mux.HandleFunc("GET /v1/status", d.status)
	mux.HandleFunc("GET /v1/log/checkpoint", d.checkpoint)
	mux.HandleFunc("GET /v1/log/entries", d.entries)
	mux.HandleFunc("GET /v1/log/entries/{index}", d.entry)
	mux.HandleFunc("GET /v1/log/proof", d.proof)
	mux.HandleFunc("GET /v1/log/tile/", d.tile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		junk := d.faults.Junk
		d.mu.Unlock()
		if junk {
			fmt.Fprintln(w, "<html>another service</html>")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(mustJSON(v))
}

func refuse(w http.ResponseWriter, p wire.Problem) {
	w.Header().Set("Content-Type", wire.MediaTypeProblem)
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(mustJSON(p))
}

func notFound(w http.ResponseWriter, what string) {
	refuse(w, wire.Problem{Type: wire.ProblemNotFound, Title: "Not found", Status: 404, Detail: "there is no " + what})
}

func (d *FakeDaemon) submit(w http.ResponseWriter, r *http.Request) {
	var sub wire.Submit
	if err := json.NewDecoder(r.Body).Decode(&sub); err != nil {
		refuse(w, wire.Problem{Type: wire.ProblemInvalidBody, Status: 400, Detail: err.Error()})
		return
	}
	d.mu.Lock()
	hook := d.faults.OnSubmit
	d.mu.Unlock()
	if hook != nil {
		hook()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.submits++
	switch {
	case d.faults.Busy > 0:
		d.faults.Busy--
		refuse(w, wire.Problem{Type: wire.ProblemBusy, Title: "Busy", Status: 503, Detail: "the queue is full", RetryAfter: 1})
		return
	case d.faults.Deny:
		refuse(w, wire.Problem{
			Type: wire.ProblemDenied, Title: "Denied", Status: 403, Detail: `rule "freeze" denies it: release freeze`,
			RequestID: "denied-1", State: "denied", Rule: "freeze",
		})
		return
	}
	rec := d.known(r.Header.Get("Idempotency-Key"), sub)
	if d.faults.Drop > 0 {
		d.faults.Drop--
		panic(http.ErrAbortHandler)
	}
	if rec.sig.State == pending {
		answer(w, http.StatusAccepted, rec.sig)
		return
	}
	answer(w, http.StatusCreated, rec.sig)
}

// known returns the request of that name or, without a name, of the same
// submission unless that was refused; or a new one.
func (d *FakeDaemon) known(name string, sub wire.Submit) *record {
	named := name != ""
	if !named {
		name = fmt.Sprintf("%+v", sub)
	}
	rec := d.byKey[name]
	if rec == nil || !named && rec.sig.State != pending && rec.sig.State != signed {
		rec = d.record(sub)
		d.byKey[name] = rec
	}
	return rec
}

func (d *FakeDaemon) record(sub wire.Submit) *record {
	if sub.ChecksumFormat == "" {
		sub.ChecksumFormat = "hex"
	}
	rec := &record{polls: d.faults.Polls, keyName: cmp.Or(sub.Key, "fake"), sig: wire.Signature{
		ID: fmt.Sprintf("fake-%d", len(d.byID)+1), State: pending,
		AppID: sub.AppID, Channel: sub.Channel, Version: sub.Version,
		Digest: strings.ToLower(sub.Digest), ChecksumFormat: sub.ChecksumFormat, Labels: sub.Labels,
		Rule: "everybody", Reason: `rule "everybody" allows it`, PolicyHash: "sha256:fake",
		SubmittedAt: time.Now().UTC(), UpdatedAt: time.Now().UTC(),
	}}
	for _, f := range sub.Files {
		rec.sig.Files = append(rec.sig.Files, wire.File{FileName: f.FileName, Digest: f.Digest})
	}
	for _, k := range sub.Also {
		rec.sig.Also = append(rec.sig.Also, wire.KeyResult{Key: k.Key, ChecksumFormat: cmp.Or(k.ChecksumFormat, sub.ChecksumFormat)})
	}
	d.byID[rec.sig.ID] = rec
	if rec.polls == 0 {
		d.sign(rec)
	}
	return rec
}

func (d *FakeDaemon) get(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.byID[r.PathValue("id")]
	if rec == nil {
		notFound(w, "request "+r.PathValue("id"))
		return
	}
	if rec.sig.State == pending && r.URL.Query().Has("wait") && rec.polls > 0 {
		if rec.polls--; rec.polls == 0 {
			if end := d.faults.End; end != "" {
				rec.sig.State, rec.sig.Reason = end, "on order"
			} else {
				d.sign(rec)
			}
		}
	}
	sig := rec.sig
	if sig.State == pending {
		sig.Statement = strings.ReplaceAll(d.faults.Statement, "ID", sig.ID)
	}
	answer(w, http.StatusOK, sig)
}

func (d *FakeDaemon) list(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := wire.SignatureList{Signatures: []wire.Signature{}}
	q := r.URL.Query()
	before, err := strconv.Atoi(q.Get("before"))
	if err != nil {
		before = len(d.byID) + 1
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		limit = 100
	}
	for n := before - 1; n > 0; n-- {
		sig := d.byID[fmt.Sprintf("fake-%d", n)].sig
		if s := q.Get("state"); s != "" && s != sig.State {
			continue
		}
		if a := q.Get("app_id"); a != "" && a != sig.AppID {
			continue
		}
		if len(list.Signatures) == limit {
			list.Next = int64(n + 1)
			break
		}
		list.Signatures = append(list.Signatures, sig)
	}
	answer(w, http.StatusOK, list)
}

func (d *FakeDaemon) cancel(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.byID[r.PathValue("id")]
	switch {
	case rec == nil:
		notFound(w, "request "+r.PathValue("id"))
	case rec.sig.State != pending:
		refuse(w, wire.Problem{Type: wire.ProblemConflict, Status: 409, Detail: "the request is " + rec.sig.State, RequestID: rec.sig.ID})
	default:
		rec.sig.State, rec.sig.Reason = "cancelled", "taken back"
		answer(w, http.StatusOK, rec.sig)
	}
}

func (d *FakeDaemon) wireKey() wire.Key {
	return wire.Key{
		Name: "fake", URI: "file:fake", Apps: []string{"*"}, KeyID: d.public.KeyID(),
		Fingerprint: d.public.Fingerprint(), PublicKey: d.public.PEM(), CustodyDemand: "software",
		Custody: &wire.Custody{Level: "software", Backend: "fake", Evidence: map[string]string{"generated": "in memory"}},
		State:   "ok",
	}
}

func (d *FakeDaemon) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, wire.KeyList{Keys: []wire.Key{d.wireKey()}})
}

func (d *FakeDaemon) keyByName(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") != "fake" {
		notFound(w, "key "+r.PathValue("name"))
		return
	}
	answer(w, http.StatusOK, d.wireKey())
}

func (d *FakeDaemon) status(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := wire.Status{State: "ok", Version: "fake", PID: 1, Policy: "sha256:fake", LogSize: d.log.size(), LogKey: d.logKey}
	s.Parts = []wire.Part{{Name: "key fake", State: "ok"}}
	if d.faults.Busy > 0 {
		s.State = "degraded"
		s.Parts[0] = wire.Part{Name: "key fake", State: "unavailable", Detail: "the token is gone"}
	}
	answer(w, http.StatusOK, s)
}

func (d *FakeDaemon) checkpoint(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	signer := d.signer
	if d.faults.Lie == ReceiptOtherLog {
		signer = d.other
	}
	msg, err := audit.SignCheckpoint(d.log.tree(), signer)
	if err != nil {
		panic(fmt.Sprintf("fake daemon: %v", err))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(msg)
}

// numbers reads query parameters, -1 for those that are missing or wrong.
func numbers(r *http.Request, names ...string) []int64 {
	out := make([]int64, len(names))
	for i, name := range names {
		n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
		if err != nil {
			n = -1
		}
		out[i] = n
	}
	return out
}

func (d *FakeDaemon) entries(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := numbers(r, "from", "to")
	if n[0] < 0 || n[1] < n[0] || n[1] > d.log.size() || n[1]-n[0] > 256 {
		notFound(w, "such range of entries")
		return
	}
	list := []string{}
	for _, e := range d.log.entries[n[0]:n[1]] {
		list = append(list, string(e))
	}
	answer(w, http.StatusOK, wire.LogEntries{From: n[0], Entries: list})
}

func (d *FakeDaemon) entry(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := strconv.ParseInt(r.PathValue("index"), 10, 64)
	if err != nil || i < 0 || i >= d.log.size() {
		notFound(w, "entry "+r.PathValue("index"))
		return
	}
	answer(w, http.StatusOK, wire.LogEntry{Receipt: *d.receipt(i, d.faults.Lie)})
}

func (d *FakeDaemon) proof(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := numbers(r, "index", "from", "size")
	out := wire.LogProof{Size: n[2], Proof: []string{}}
	var hashes []tlog.Hash
	var err error
	if n[0] >= 0 {
		out.Index = &n[0]
		hashes, err = tlog.ProveRecord(n[2], n[0], d.log.reader())
	} else {
		out.From = &n[1]
		hashes, err = tlog.ProveTree(n[2], n[1], d.log.reader())
	}
	if err != nil {
		notFound(w, "such proof: "+err.Error())
		return
	}
	for _, h := range hashes {
		out.Proof = append(out.Proof, h.String())
	}
	answer(w, http.StatusOK, out)
}

// tile serves the tiles of a log of at most 999 tiles a level.
func (d *FakeDaemon) tile(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/log/tile/")
	width := int64(256)
	path, partial, isPartial := strings.Cut(path, ".p/")
	if isPartial {
		if _, err := fmt.Sscan(partial, &width); err != nil {
			notFound(w, "tile "+r.URL.Path)
			return
		}
	}
	kind, index, _ := strings.Cut(path, "/")
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil {
		notFound(w, "tile "+r.URL.Path)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if kind == "entries" {
		if n*256+width > d.log.size() {
			notFound(w, "tile "+r.URL.Path)
			return
		}
		var out []byte
		for _, e := range d.log.entries[n*256 : n*256+width] {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
		}
		_, _ = w.Write(out)
		return
	}
	level, err := strconv.Atoi(kind)
	if err != nil {
		notFound(w, "tile "+r.URL.Path)
		return
	}
	data, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: n, W: int(width)}, d.log.reader())
	if err != nil {
		notFound(w, "tile "+r.URL.Path)
		return
	}
	_, _ = w.Write(data)
}
