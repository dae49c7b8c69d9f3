package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// decode reads one JSON value, strictly: names are compared exactly, unknown
// and duplicate names, invalid UTF-8 and anything after the value are errors.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &mediaError{r.Header.Get("Content-Type")}
	}
	if r.ContentLength == 0 {
		return badBody("found nothing, want a JSON object")
	}
	body := http.MaxBytesReader(w, r.Body, s.config.BodyBytes)
	err := json.UnmarshalRead(body, v, json.RejectUnknownMembers(true))
	var large *http.MaxBytesError
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return &tooLargeErr{large.Limit}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badBody("the JSON ends too early: it was truncated")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return badBody("it was sent too slowly")
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return &fieldError{string(semantic.JSONPointer), "there is no such field"}
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return &fieldError{string(syntactic.JSONPointer), "found twice, want it once"}
	case errors.As(err, &semantic):
		field := string(semantic.JSONPointer)
		if field == "" {
			return badBody("found a JSON %s, want an object", semantic.JSONKind)
		}
		return badField(field, "found a JSON %s, want a %s", semantic.JSONKind, jsonName(semantic))
	case errors.As(err, &syntactic):
		return badBody("not JSON at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
	}
	return badBody("could not be read: %v", err)
}

// jsonName is the JSON name of the Go type that was wanted.
func jsonName(e *json.SemanticError) string {
	if e.GoType == nil {
		return "valid value"
	}
	switch k := e.GoType.Kind().String(); k {
	case "slice":
		return "array"
	case "map", "struct":
		return "object"
	default:
		return k
	}
}

// submission turns the body of POST /v1/signatures into what the core checks
// and decides about.
func submission(in *wire.Submit) (signer.Submission, error) {
	out := signer.Submission{
		AppID: in.AppID, Channel: in.Channel, Version: in.Version,
		Format: capgo.FormatHex, Labels: in.Labels, Key: in.Key,
		BreakGlass: strings.TrimSpace(in.BreakGlass),
	}
	for _, k := range in.Also {
		out.Also = append(out.Also, signer.AlsoKey{Key: k.Key, Format: capgo.ChecksumFormat(k.ChecksumFormat)})
	}
	if in.ChecksumFormat != "" {
		out.Format = capgo.ChecksumFormat(in.ChecksumFormat)
	}
	if in.BreakGlass != "" && out.BreakGlass == "" {
		return out, badField("/break_glass", "found a blank text, want the reason why the ordinary rules cannot be waited for")
	}
	if err := checkLine("/break_glass", out.BreakGlass, maxWhy); err != nil {
		return out, err
	}
	var err error
	if out.Digest, err = capgo.ParseDigest(in.Digest); err != nil {
		return out, badField("/digest", "%v", err)
	}
	for i, f := range in.Files {
		d, err := capgo.ParseDigest(f.Digest)
		if err != nil {
			return out, badField(fmt.Sprintf("/files/%d/digest", i), "%v", err)
		}
		out.Files = append(out.Files, signer.File{Name: f.FileName, Digest: d})
	}
	return out, nil
}

// query reads parameters and remembers the first error, and which names are
// known, so that a misspelt one is not silently ignored.
type query struct {
	r     *http.Request
	known map[string]bool
	err   error
}

func newQuery(r *http.Request) *query { return &query{r: r, known: make(map[string]bool)} }

func (q *query) fail(name, format string, args ...any) {
	if q.err == nil {
		q.err = badField("/"+name, format, args...)
	}
}

func (q *query) text(name string) string {
	q.known[name] = true
	values := q.r.URL.Query()[name]
	if len(values) > 1 {
		q.fail(name, "found %d times, want it once", len(values))
	}
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// number reads an integer from 0; absent is fallback.
func (q *query) number(name string, fallback int64) int64 {
	text := q.text(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		q.fail(name, "found %q, want a whole number from 0", text)
	}
	return n
}

// duration reads a Go duration up to most; absent is fallback.
func (q *query) duration(name string, fallback, most time.Duration) time.Duration {
	text := q.text(name)
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		q.fail(name, "found %q, want a duration such as 30s, at most %s", text, most)
	}
	return min(d, most)
}

func (q *query) done() error {
	if q.err != nil {
		return q.err
	}
	for name := range q.r.URL.Query() {
		if !q.known[name] {
			return badField("/"+name, "there is no such parameter")
		}
	}
	return nil
}
