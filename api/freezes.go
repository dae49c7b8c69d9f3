package api

import (
	"net/http"
	"slices"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// freezes is GET /v1/freezes: those in force.
func (s *Server) freezes(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	list, err := s.core.Freezes(r.Context())
	if err != nil {
		return err
	}
	out := wire.FreezeList{Freezes: make([]wire.Freeze, 0, len(list))}
	for i := range list {
		out.Freezes = append(out.Freezes, s.wireFreeze(&list[i]))
	}
	return writeJSON(w, http.StatusOK, out)
}

// freeze is POST /v1/freezes. Whether the caller may is for the core to say.
func (s *Server) freeze(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, operator, err := s.callerOrOperator(r)
	if err != nil {
		return err
	}
	var body wire.NewFreeze
	if err := s.decode(w, r, &body); err != nil {
		return err
	}
	f, err := s.newFreeze(&body)
	if err != nil {
		return err
	}
	made, err := s.core.Freeze(r.Context(), f, who, operator)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, s.wireFreeze(made))
}

// newFreeze reads what is to be frozen. It is one thing, and one that is there:
// whoever types a wrong name in a hurry must not believe that signing has stopped.
func (s *Server) newFreeze(in *wire.NewFreeze) (signer.Freeze, error) {
	out := signer.Freeze{All: in.All, AppID: in.AppID, Key: in.Key}
	named := 0
	for _, given := range []bool{in.All, in.AppID != "", in.Key != ""} {
		if given {
			named++
		}
	}
	if named != 1 {
		return out, badField("/all", "found %d of all, app_id and key, want exactly one", named)
	}
	if in.AppID != "" {
		if err := policy.CheckAppID(in.AppID); err != nil {
			return out, badField("/app_id", "%v", err)
		}
		if !slices.ContainsFunc(s.core.Keys(), func(k signer.KeyStatus) bool { return slices.Contains(k.Apps, in.AppID) }) {
			return out, badField("/app_id", "no key signs for %q, so there is nothing to freeze; check the name", in.AppID)
		}
	}
	if in.Key != "" {
		if _, err := s.core.Key(in.Key); err != nil {
			return out, badField("/key", "%v", err)
		}
	}
	var err error
	out.Reason, err = reasonOf(in.Reason, maxWhy)
	return out, err
}

// thaw is POST /v1/freezes/{id}/lifts. Without a signature it is the word of an
// operator, for a policy that wants no approvals.
func (s *Server) thaw(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, operator, err := s.callerOrOperator(r)
	if err != nil {
		return err
	}
	var body wire.SSHSig
	if err := s.decode(w, r, &body); err != nil {
		return err
	}
	if body.Reason != "" {
		return badField("/reason", "a thaw has none; only a rejection has")
	}
	if body.SSHSig != "" || !operator {
		if err := checkSSHSig(body.SSHSig); err != nil {
			return err
		}
	}
	f, err := s.core.Thaw(r.Context(), r.PathValue("id"), body.SSHSig, who, operator)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.wireFreeze(f))
}

// callerOrOperator names the peer of a request and says whether it is an operator.
func (s *Server) callerOrOperator(r *http.Request) (who policy.Identity, operator bool, err error) {
	p, ok := peerFrom(r.Context())
	if !ok {
		return policy.Identity{}, false, errUnknownPeer
	}
	who, err = s.caller(r)
	return who, p.operates(), err
}

func (s *Server) wireFreeze(f *signer.Freeze) wire.Freeze {
	out := wire.Freeze{
		ID: f.ID, All: f.All, AppID: f.AppID, Key: f.Key, Reason: f.Reason, By: requester(f.By), At: f.At,
		Statement: f.Statement, Approvals: approvals(f.Approvals), Lifted: f.Lifted,
	}
	if !f.Lifted {
		out.Missing = missing(s.core.MissingThaw(f))
	}
	return out
}
