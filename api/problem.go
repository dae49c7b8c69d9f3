package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/signer"
)

var (
	errUnknownPeer = errors.New("the peer of this connection is unknown")
	errDefect      = errors.New("a defect in the daemon; its log has the details")
)

// Errors of this package's own; those of the core are [signer.Error].
type (
	bodyError     struct{ detail string }
	fieldError    struct{ field, detail string }
	tooLargeErr   struct{ limit int64 }
	mediaError    struct{ found string }
	methodError   struct{ method, allowed string }
	tooManyError  struct{ wait time.Duration }
	notFoundError struct{ path string }
	namelessError struct {
		uid uint32
		err error
	}
)

func (e *bodyError) Error() string  { return "body: " + e.detail }
func (e *fieldError) Error() string { return strings.TrimPrefix(e.field, "/") + ": " + e.detail }
func (e *tooLargeErr) Error() string {
	return fmt.Sprintf("body: found more than %d bytes, which is the limit (limits.body_bytes)", e.limit)
}

func (e *mediaError) Error() string {
	return fmt.Sprintf("Content-Type: found %q, want application/json", e.found)
}

func (e *methodError) Error() string {
	return fmt.Sprintf("method %s is not allowed here, want %s", e.method, e.allowed)
}

func (e *tooManyError) Error() string {
	return "your uid makes more requests than it may (limits.requests_per_second); slow down"
}
func (e *notFoundError) Error() string { return fmt.Sprintf("there is nothing at %q", e.path) }

func (e *namelessError) Error() string {
	return fmt.Sprintf("who uid %d is cannot be told now, so nothing is decided for it: %v", e.uid, e.err)
}

func badBody(format string, args ...any) error { return &bodyError{fmt.Sprintf(format, args...)} }

func badField(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

func (m route) allowed() string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// kinds is the table of what each kind of error of the core is to a client.
var kinds = map[signer.Kind]struct {
	typ, title string
	status     int
}{
	signer.KindInternal:       {wire.ProblemInternal, "Internal error", http.StatusInternalServerError},
	signer.KindInvalid:        {wire.ProblemInvalidField, "Invalid field", http.StatusUnprocessableEntity},
	signer.KindDenied:         {wire.ProblemDenied, "Denied by policy", http.StatusForbidden},
	signer.KindForbidden:      {wire.ProblemForbidden, "Not allowed", http.StatusForbidden},
	signer.KindApproval:       {wire.ProblemApproval, "Approval refused", http.StatusForbidden},
	signer.KindNotFound:       {wire.ProblemNotFound, "Not found", http.StatusNotFound},
	signer.KindNoKey:          {wire.ProblemNoKey, "No key for this app", http.StatusUnprocessableEntity},
	signer.KindConflict:       {wire.ProblemConflict, "Wrong state", http.StatusConflict},
	signer.KindKeyReuse:       {wire.ProblemKeyReuse, "Idempotency key used before", http.StatusUnprocessableEntity},
	signer.KindTooMany:        {wire.ProblemTooMany, "Too many denied requests", http.StatusTooManyRequests},
	signer.KindBusy:           {wire.ProblemBusy, "Busy", http.StatusServiceUnavailable},
	signer.KindKeyUnavailable: {wire.ProblemKeyUnavailable, "Key unavailable", http.StatusServiceUnavailable},
	signer.KindKeyUnusable:    {wire.ProblemKeyUnusable, "Key unusable", http.StatusServiceUnavailable},
	signer.KindStore:          {wire.ProblemStore, "State not writable", http.StatusServiceUnavailable},
	signer.KindClock:          {wire.ProblemClock, "Clock behind the log", http.StatusServiceUnavailable},
	signer.KindStopping:       {wire.ProblemStopping, "Stopping", http.StatusServiceUnavailable},
}

// problemOf is the one place where an error becomes what a client sees.
func problemOf(err error) *wire.Problem {
	p := &wire.Problem{Detail: err.Error()}
	set := func(typ, title string, status int) { p.Type, p.Title, p.Status = typ, title, status }
	var (
		core     *signer.Error
		body     *bodyError
		field    *fieldError
		large    *tooLargeErr
		media    *mediaError
		method   *methodError
		many     *tooManyError
		notFound *notFoundError
		nameless *namelessError
		refused  *idtoken.RefusedError
		away     *idtoken.UnavailableError
	)
	switch {
	case errors.As(err, &core):
		k := kinds[core.Kind]
		set(k.typ, k.title, k.status)
		p.Field = core.Field
		p.RetryAfter = seconds(core.Retry)
		if r := core.Request; r != nil {
			p.RequestID, p.State, p.Rule, p.PolicyHash = r.ID, string(r.State), r.Decision.Rule, r.Decision.PolicyHash
			if r.State == signer.Failed {
				set(wire.ProblemFailed, "Signing failed", http.StatusInternalServerError)
			}
		}
	case errors.As(err, &body):
		set(wire.ProblemInvalidBody, "Invalid body", http.StatusBadRequest)
	case errors.As(err, &field):
		set(wire.ProblemInvalidField, "Invalid field", http.StatusUnprocessableEntity)
		p.Field = field.field
	case errors.As(err, &large):
		set(wire.ProblemBodyTooLarge, "Body too large", http.StatusRequestEntityTooLarge)
	case errors.As(err, &media):
		set(wire.ProblemMediaType, "Unsupported media type", http.StatusUnsupportedMediaType)
	case errors.As(err, &method):
		set(wire.ProblemMethod, "Method not allowed", http.StatusMethodNotAllowed)
	case errors.As(err, &many):
		set(wire.ProblemTooMany, "Too many requests", http.StatusTooManyRequests)
		p.RetryAfter = seconds(many.wait)
	case errors.As(err, &notFound):
		set(wire.ProblemNotFound, "Not found", http.StatusNotFound)
	case errors.As(err, &nameless):
		set(wire.ProblemPeer, "Caller cannot be named", http.StatusServiceUnavailable)
		p.RetryAfter = 5
	case errors.As(err, &refused):
		set(wire.ProblemToken, "Token refused", http.StatusUnauthorized)
	case errors.As(err, &away):
		set(wire.ProblemTokenIssuer, "Token cannot be checked", http.StatusServiceUnavailable)
		p.RetryAfter = max(1, seconds(away.Retry))
	case errors.Is(err, signer.ErrNotFound):
		set(wire.ProblemNotFound, "Not found", http.StatusNotFound)
	case errors.Is(err, errUnknownPeer):
		set(wire.ProblemForbidden, "Unknown peer", http.StatusForbidden)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		set(wire.ProblemKeyUnavailable, "Timed out", http.StatusServiceUnavailable)
		p.RetryAfter = 1
	default:
		set(wire.ProblemInternal, "Internal error", http.StatusInternalServerError)
	}
	return p
}

// seconds rounds up to whole seconds, as Retry-After wants them.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		s.log.Warn("request refused", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.String("type", p.Type), zap.Error(err))
	}
	var method *methodError
	if errors.As(err, &method) {
		w.Header().Set("Allow", method.allowed)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750, section 3
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.Header().Set("Content-Type", wire.MediaTypeProblem)
	w.WriteHeader(p.Status)
	_, _ = w.Write(encodeProblem(p))
}

func encodeProblem(p *wire.Problem) []byte { return encode(p) }

// encode is JSON for people and programs: one line, "<" and "&" as they are.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("api: encoding an answer: " + err.Error()) // types of package wire always encode
	}
	return buf.Bytes()
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := w.Write(encode(v))
	_ = err // the peer has gone; its record stays
	return nil
}
