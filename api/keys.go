package api

import (
	"errors"
	"net/http"
	"os"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/signer"
)

// keys is GET /v1/keys.
func (s *Server) keys(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	out := wire.KeyList{Keys: []wire.Key{}}
	for _, k := range s.core.Keys() {
		out.Keys = append(out.Keys, wireKey(k))
	}
	return writeJSON(w, http.StatusOK, out)
}

// key is GET /v1/keys/{name}.
func (s *Server) key(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	k, err := s.core.Key(r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireKey(k))
}

func wireKey(k signer.KeyStatus) wire.Key {
	out := wire.Key{
		Name: k.Name, URI: k.At[0].URI, Apps: k.Apps, OnlyOnRequest: k.OnlyOnRequest,
		KeyID: k.Pin.KeyID(), Fingerprint: k.Pin.Fingerprint(), PublicKey: k.Pin.PEM(),
		CustodyDemand: string(k.Demand), Custody: custody(k.Custody),
		State: string(k.State), Detail: k.Detail, WaitingInQueue: k.Waiting,
	}
	out.LastCheckedAt = timeOrNone(k.Checked)
	for _, r := range k.At {
		out.Replicas = append(out.Replicas, wire.Replica{
			URI: r.URI, State: string(r.State), Detail: r.Detail, InUse: r.InUse,
			Custody: custody(r.Custody), LastCheckedAt: timeOrNone(r.Checked),
		})
	}
	return out
}

func timeOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// status is GET /v1/status. It answers 200 also when a part is not well: the
// body says so, and a monitor that looks at the code alone asks the wrong thing.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	st := s.core.Status(r.Context())
	out := wire.Status{
		State: "ok", Version: st.Version, PID: os.Getpid(), StartedAt: st.Started.UTC(),
		Policy: st.PolicyHash, LogKey: s.config.LogKey,
	}
	if !st.OK() {
		out.State = "degraded"
	}
	for _, p := range st.Parts {
		out.Parts = append(out.Parts, wire.Part{Name: p.Name, State: p.State, Detail: p.Detail})
	}
	tree, err := s.tree(r)
	if err != nil && !errors.Is(err, signer.ErrLogKey) {
		return err
	}
	out.LogSize = tree.N
	return writeJSON(w, http.StatusOK, out)
}

// tree is the newest committed tree of the log.
func (s *Server) tree(r *http.Request) (tlog.Tree, error) {
	msg, err := s.core.Log().Checkpoint(r.Context())
	if err != nil {
		return tlog.Tree{}, err
	}
	_, tree, err := audit.ReadCheckpoint(msg)
	return tree, err
}
