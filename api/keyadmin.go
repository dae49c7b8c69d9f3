package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// KeyAdmin is what operators do to keys; [signer.Signer] does it.
type KeyAdmin interface {
	DisableKey(ctx context.Context, name, reason string, who policy.Identity) error
	EnableKey(ctx context.Context, name, reason string, who policy.Identity) error
	CheckKey(ctx context.Context, name string, who policy.Identity) (signer.KeyStatus, error)
	Record(ctx context.Context, leaf *audit.Leaf) (index int64, err error)
}

// What an operator's words may be. The log keeps them for ever, and people read
// them on terminals.
const (
	maxReason        = 1000 // bytes
	maxURI           = 2000
	maxEvidence      = 64 // facts of a custody
	maxEvidenceText  = 1000
	maxRecordedGroup = 64 // groups of the operator that an entry names
)

var (
	recordedKey         = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	recordedFingerprint = regexp.MustCompile(`^SHA256:[0-9a-f]{64}$`)
)

// overflowUID is what the kernel calls every user whom the daemon's user namespace has
// no number for (user_namespaces(7)). It is nobody in particular, also for a daemon
// that runs as nobody.
const overflowUID = 65534

// operates reports whether a uid is an operator of a daemon that runs as another.
func operates(uid, daemon uint32) bool {
	return uid == 0 || uid == daemon && uid != overflowUID
}

// operates reports whether the peer is an operator of this daemon.
func (p *peer) operates() bool { return operates(p.uid, uint32(os.Geteuid())) }

// operator names the peer of a request that only operators may make: root, and
// the user as whom the daemon runs. Either could do the same to the daemon's files.
func (s *Server) operator(r *http.Request) (policy.Identity, error) {
	p, ok := peerFrom(r.Context())
	if !ok {
		return policy.Identity{}, errUnknownPeer
	}
	if !p.operates() {
		return policy.Identity{}, &signer.Error{Kind: signer.KindForbidden, Detail: "only root, and the user as whom the daemon runs, may do this"}
	}
	who, err := s.caller(r)
	if err != nil {
		return policy.Identity{}, err
	}
	who.Groups = who.Groups[:min(len(who.Groups), maxRecordedGroup)]
	return who, nil
}

// disableKey is POST /v1/keys/{name}/disable.
func (s *Server) disableKey(w http.ResponseWriter, r *http.Request) error {
	return s.switchKey(w, r, KeyAdmin.DisableKey)
}

// enableKey is POST /v1/keys/{name}/enable.
func (s *Server) enableKey(w http.ResponseWriter, r *http.Request) error {
	return s.switchKey(w, r, KeyAdmin.EnableKey)
}

// switchKey takes a key out of use or into it again, and answers with the key.
func (s *Server) switchKey(w http.ResponseWriter, r *http.Request, change func(admin KeyAdmin, ctx context.Context, name, reason string, who policy.Identity) error) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, err := s.operator(r)
	if err != nil {
		return err
	}
	var body wire.KeyReason
	if err := s.decode(w, r, &body); err != nil {
		return err
	}
	why, err := reasonOf(body.Reason, maxReason)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if err := change(s.core, r.Context(), name, why, who); err != nil {
		return err
	}
	k, err := s.core.Key(name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireKey(k))
}

// checkKey is POST /v1/keys/{name}/check: a test signature, now. It answers 200
// also when the key is not well; the body says so.
func (s *Server) checkKey(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, err := s.operator(r)
	if err != nil {
		return err
	}
	var nothing struct{}
	if err := s.decode(w, r, &nothing); err != nil {
		return err
	}
	began := time.Now()
	k, err := s.core.CheckKey(r.Context(), r.PathValue("name"), who)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wire.KeyCheck{
		OK: k.State == signer.KeyOK, Key: wireKey(k), TookSeconds: time.Since(began).Seconds(),
	})
}

// recordOperation is POST /v1/log/operations: the entry about what an operator
// does to a key outside the daemon, such as making one in an HSM. What it says is
// the operator's word; who says it is the kernel's.
func (s *Server) recordOperation(w http.ResponseWriter, r *http.Request) error {
	if err := newQuery(r).done(); err != nil {
		return err
	}
	who, err := s.operator(r)
	if err != nil {
		return err
	}
	var body wire.KeyOperation
	if err := s.decode(w, r, &body); err != nil {
		return err
	}
	leaf, err := operationLeaf(&body)
	if err != nil {
		return err
	}
	leaf.Requester = &who
	if err := s.continues(r.Context(), leaf); err != nil {
		return err
	}
	index, err := s.core.Record(r.Context(), leaf)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, wire.Recorded{Index: index})
}

// operationLeaf makes the log entry of what is reported, if it can be one.
func operationLeaf(in *wire.KeyOperation) (*audit.Leaf, error) {
	op := &audit.KeyOperation{
		Action: audit.KeyAction(in.Action), Phase: audit.KeyPhase(in.Phase), URI: in.URI, Begun: in.Begun, LogKey: in.LogKey,
	}
	leaf := &audit.Leaf{
		Type: audit.LeafKey, Time: time.Now(), Key: in.Key, KeyFingerprint: in.Fingerprint, Reason: in.Reason, Operation: op,
	}
	switch op.Action {
	case audit.KeyCreate, audit.KeyImport, audit.KeyAttest:
	default:
		return nil, badField("/action", "found %q, want create, import or attest", in.Action)
	}
	switch {
	case !op.Phase.Known():
		return nil, badField("/phase", "found %q, want begun, done or failed", in.Phase)
	case op.Phase == audit.OperationBegun && in.Begun != nil:
		return nil, badField("/begun", "found it with the phase begun, want none")
	case op.Phase != audit.OperationBegun && (in.Begun == nil || *in.Begun < 0):
		return nil, badField("/begun", "want the index of the entry with which this began")
	case op.Phase == audit.OperationFailed && in.Reason == "":
		return nil, badField("/reason", "found nothing, want what went wrong")
	case op.Phase == audit.OperationDone && in.Fingerprint == "":
		return nil, badField("/fingerprint", "found nothing, want that of the key that there is now")
	case !recordedKey.MatchString(in.Key):
		return nil, badField("/key", "found %q, want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", in.Key)
	case in.Fingerprint != "" && !recordedFingerprint.MatchString(in.Fingerprint):
		return nil, badField("/fingerprint", "want SHA256: and 64 lower-case hexadecimal digits")
	case in.URI == "":
		return nil, badField("/uri", "found nothing, want where the key is")
	case strings.Contains(strings.ToLower(in.URI), "pin-value"):
		return nil, badField("/uri", "found a pin-value in it: the log is for everybody")
	}
	if err := errors.Join(checkText("/uri", in.URI, maxURI), checkText("/reason", in.Reason, maxReason)); err != nil {
		return nil, err
	}
	if c := in.Custody; c != nil {
		if err := checkCustody(c); err != nil {
			return nil, err
		}
		leaf.Custody = signer.Custody{Level: signer.CustodyLevel(c.Level), Backend: c.Backend, Evidence: c.Evidence}
	}
	return leaf, nil
}

func checkCustody(c *wire.Custody) error {
	if signer.CustodyLevel(c.Level).Rank() < 0 {
		return badField("/custody/level", "found %q, want software, non-extractable or never-extractable", c.Level)
	}
	if len(c.Evidence) > maxEvidence {
		return badField("/custody/evidence", "found %d facts, want at most %d", len(c.Evidence), maxEvidence)
	}
	if err := checkText("/custody/backend", c.Backend, maxEvidenceText); err != nil {
		return err
	}
	for name, text := range c.Evidence {
		if err := errors.Join(checkText("/custody/evidence", name, maxEvidenceText), checkText("/custody/evidence", text, maxEvidenceText)); err != nil {
			return err
		}
	}
	return nil
}

// checkText refuses what is too long, or could play with a terminal.
func checkText(field, text string, most int) error {
	if len(text) > most {
		return badField(field, "found %d bytes, want at most %d", len(text), most)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return badField(field, "found a control character in it, want one line of text")
	}
	return nil
}

// continues checks that what is done or failed has begun: the log has the entry
// that it names, about the same action on the same key by the same user.
func (s *Server) continues(ctx context.Context, leaf *audit.Leaf) error {
	op := leaf.Operation
	if op.Begun == nil {
		return nil
	}
	msg, err := s.core.Log().Checkpoint(ctx)
	if err != nil {
		return err
	}
	_, tree, err := audit.ReadCheckpoint(msg)
	if err != nil {
		return err
	}
	if *op.Begun >= tree.N {
		return badField("/begun", "found %d, but the log has %d entries", *op.Begun, tree.N)
	}
	raw, err := s.core.Log().Entries(ctx, *op.Begun, *op.Begun+1)
	if err != nil {
		return err
	}
	first, err := audit.DecodeLeaf(raw[0])
	if err != nil {
		return err
	}
	if first.Type != audit.LeafKey || first.Operation == nil || first.Operation.Phase != audit.OperationBegun ||
		first.Operation.Action != op.Action || first.Key != leaf.Key || first.Requester == nil || first.Requester.UID != leaf.Requester.UID {
		return badField("/begun", "entry %d is not the beginning of this", *op.Begun)
	}
	return nil
}
