package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// submit is POST /v1/signatures: 201 if it is signed within the wait, 202 if it
// is not final yet, a problem otherwise. For people it waits only if it was asked
// to: they take longer than a key.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	q := newQuery(r)
	wait, asked := q.duration("wait", submitWait, maxWait), q.text("wait") != ""
	if err := q.done(); err != nil {
		return err
	}
	var body wire.Submit
	if err := s.decode(w, r, &body); err != nil {
		return err
	}
	sub, err := submission(&body)
	if err != nil {
		return err
	}
	who, err := s.caller(r)
	if err != nil {
		return err
	}
	req, err := s.core.Submit(r.Context(), sub, who, r.Header.Get("Idempotency-Key"))
	if err != nil {
		return err
	}
	if req.State == signer.Authorized || req.State == signer.Pending && asked {
		if req, err = s.await(r, req.ID, wait); err != nil {
			return err
		}
	}
	w.Header().Set("Location", "/v1/signatures/"+req.ID)
	switch {
	case req.State == signer.Signed:
		return s.writeSignature(w, r, http.StatusCreated, req)
	case !req.State.Final():
		return s.writeSignature(w, r, http.StatusAccepted, req)
	}
	return &signer.Error{Kind: signer.KindConflict, Request: req, Detail: "request " + req.ID + " is " + string(req.State) + ": " + req.Reason}
}

// await waits for a request to become final, for the client to go, or for the
// daemon to stop.
func (s *Server) await(r *http.Request, id string, wait time.Duration) (*signer.Request, error) {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return s.core.Wait(ctx, id)
}

// signature is GET /v1/signatures/{id}.
func (s *Server) signature(w http.ResponseWriter, r *http.Request) error {
	q := newQuery(r)
	wait := q.duration("wait", 0, maxWait)
	if err := q.done(); err != nil {
		return err
	}
	id := r.PathValue("id")
	req, err := s.core.Request(r.Context(), id)
	if err == nil && !req.State.Final() && wait > 0 {
		req, err = s.await(r, id, wait)
	}
	if err != nil {
		return err
	}
	return s.writeSignature(w, r, http.StatusOK, req)
}

// list is GET /v1/signatures.
func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	q := newQuery(r)
	f := signer.Filter{AppID: q.text("app_id"), Before: q.number("before", 0), Limit: int(q.number("limit", 100))}
	state := signer.State(q.text("state"))
	if err := q.done(); err != nil {
		return err
	}
	switch state {
	case "":
	case signer.Pending, signer.Authorized, signer.Signed, signer.Denied, signer.Rejected, signer.Expired, signer.Cancelled, signer.Failed:
		f.States = []signer.State{state}
	default:
		return badField("/state", "found %q, want one of pending, authorized, signed, denied, rejected, expired, cancelled, failed", state)
	}
	if f.Limit < 1 || f.Limit > 1000 {
		return badField("/limit", "found %d, want 1 to 1000", f.Limit)
	}
	reqs, err := s.core.Requests(r.Context(), f)
	if err != nil {
		return err
	}
	out := wire.SignatureList{Signatures: make([]wire.Signature, 0, len(reqs))}
	for _, req := range reqs {
		out.Signatures = append(out.Signatures, s.summary(req))
	}
	if len(reqs) == f.Limit {
		out.Next = reqs[len(reqs)-1].Seq
	}
	return writeJSON(w, http.StatusOK, out)
}

// cancel is DELETE /v1/signatures/{id}.
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, err := s.caller(r)
	if err != nil {
		return err
	}
	req, err := s.core.Cancel(r.Context(), r.PathValue("id"), who)
	if err != nil {
		return err
	}
	return s.writeSignature(w, r, http.StatusOK, req)
}

// summary is a request without its files, its result and what people signed.
func (s *Server) summary(r *signer.Request) wire.Signature {
	out := wire.Signature{
		ID: r.ID, State: string(r.State),
		AppID: r.Submission.AppID, Channel: r.Submission.Channel, Version: r.Submission.Version,
		Digest: r.Submission.Digest.String(), ChecksumFormat: string(r.Submission.Format), Labels: r.Submission.Labels,
		BreakGlass: r.Submission.BreakGlass,
		Requester:  requester(r.Requester),
		Rule:       r.Decision.Rule, PolicyHash: r.Decision.PolicyHash, Reason: reason(r),
		SubmittedAt: r.SubmittedAt, UpdatedAt: r.UpdatedAt,
		Key: r.Key, KeyID: r.KeyID, FileCount: r.FileCount, Note: r.Note,
	}
	for i, k := range r.Also {
		out.Also = append(out.Also, wire.KeyResult{Key: k.Key, KeyID: k.KeyID, ChecksumFormat: string(r.Submission.Also[i].Format)})
	}
	if !r.ExpiresAt.IsZero() {
		out.ExpiresAt = &r.ExpiresAt
	}
	if r.State == signer.Pending {
		out.Missing = missing(s.core.Missing(r))
	}
	return out
}

func requester(id policy.Identity) wire.Requester {
	out := wire.Requester{UID: id.UID, User: id.User, Unit: id.Unit}
	if id.Token != nil {
		out.Token = &wire.Token{Issuer: id.Token.Issuer, Subject: id.Token.Subject}
	}
	return out
}

// reason is why the request is in its state.
func reason(r *signer.Request) string {
	if r.Reason != "" {
		return r.Reason
	}
	return r.Decision.Reason
}

// writeSignature writes a request with everything that this peer may see.
func (s *Server) writeSignature(w http.ResponseWriter, r *http.Request, status int, req *signer.Request) error {
	out := s.summary(req)
	if req.State == signer.Pending {
		out.Statement = req.Statement // also for others than the requester: they approve it
	}
	out.Approvals = approvals(req.Approvals)
	if req.Rejection != nil {
		rejection := approval(req.Rejection)
		out.Rejection = &rejection
	}
	for _, f := range req.Submission.Files {
		out.Files = append(out.Files, wire.File{FileName: f.Name, Digest: f.Digest.String()})
	}
	out.PublicKey = s.publicKey(req.Key, req.KeyFingerprint)
	for i, k := range req.Also {
		out.Also[i].PublicKey = s.publicKey(k.Key, k.KeyFingerprint)
	}
	if !req.State.Final() {
		if signed, total := s.core.Progress(req.ID); total > 0 {
			out.Progress = &wire.Progress{Signed: signed, Total: total}
		}
	}
	if res := req.Result; res != nil {
		p, known := peerFrom(r.Context())
		own := known && (p.uid == req.Requester.UID || p.uid == 0)
		files := out.Files // unsigned
		first := keyResult(&res.KeyResult, req.Submission.Format, files, own)
		out.Checksum, out.SessionKey, out.Files, out.Custody = first.Checksum, first.SessionKey, first.Files, first.Custody
		for i := range res.Also {
			also := keyResult(&res.Also[i], req.Submission.Also[i].Format, files, own)
			of := &out.Also[i]
			of.Checksum, of.SessionKey, of.Files, of.Custody = also.Checksum, also.SessionKey, also.Files, also.Custody
		}
	}
	rec, err := s.core.Receipt(r.Context(), req)
	if err != nil {
		return err
	}
	out.Log = receipt(rec)
	return writeJSON(w, status, out)
}

// publicKey is that of the key that a request was decided about, also if it has
// another name by now, or "" if the daemon has it no more.
func (s *Server) publicKey(name, fingerprint string) string {
	if name == "" {
		return ""
	}
	if k, err := s.core.Key(name); err == nil && k.Pin.Fingerprint() == fingerprint {
		return k.Pin.PEM()
	}
	for _, k := range s.core.Keys() {
		if k.Pin.Fingerprint() == fingerprint {
			return k.Pin.PEM()
		}
	}
	return ""
}

// keyResult is what one key made of a request with these files. The session key is
// in it if the request is the peer's own.
func keyResult(res *signer.KeyResult, format capgo.ChecksumFormat, files []wire.File, own bool) wire.KeyResult {
	out := wire.KeyResult{Checksum: res.Checksum.Checksum(format), Files: slices.Clone(files), Custody: custody(&res.Custody)}
	if own {
		out.SessionKey = res.SessionKey.String()
	}
	for i, sig := range res.Files {
		out.Files[i].FileHash = sig.Checksum(format)
	}
	return out
}

func custody(c *signer.Custody) *wire.Custody {
	if c == nil {
		return nil
	}
	return &wire.Custody{Level: string(c.Level), Backend: c.Backend, Evidence: c.Evidence}
}
