// Package publishtest is a stand-in for the public Capgo bundle API.
//
// It checks a request in the order and with the words of Capgo's published code
// (supabase/functions/_backend: public/bundle/create.ts and get.ts,
// utils/hono_middleware.ts and utils/hono.ts), and keeps the bundles in memory. It
// is not a server for anything else: rights are one API key, and only the newest
// bundles are found.
package publishtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Bundle is a registered bundle: the members of its row that publishing is about.
type Bundle struct {
	ID              int    `json:"id"`
	AppID           string `json:"app_id"`
	Name            string `json:"name"`
	ExternalURL     string `json:"external_url"`
	Checksum        string `json:"checksum"`
	SessionKey      string `json:"session_key,omitempty"`
	KeyID           string `json:"key_id,omitempty"`
	StorageProvider string `json:"storage_provider"`
	Deleted         bool   `json:"deleted"`
}

// Faults are what the fake does wrong or demands. The zero value is a good day.
type Faults struct {
	LoseAnswers int    // so many bundles are registered and the connection is cut
	Busy        int    // so many requests are answered with "too many requests"
	Broken      int    // so many requests are answered with HTTP 500
	Redirect    string // where every request is sent
	HTML        bool   // every answer is a web page, as of a captive portal
	Garble      bool   // registers with another address than it was told
	RequiredKey string // the organization takes this key alone, by its id
	NoReading   bool   // the API key may not list bundles
}

// FakeAPI is the stand-in. Its address is that of [httptest.Server], plain http on
// this machine.
type FakeAPI struct {
	*httptest.Server

	mu       sync.Mutex
	faults   Faults
	key      string
	bundles  []Bundle
	requests []string
}

// NewFakeAPI starts a stand-in that knows the app and takes this API key.
func NewFakeAPI(key string) *FakeAPI {
	f := &FakeAPI{key: key}
	f.Server = httptest.NewServer(f)
	return f
}

// SetFaults changes what it does wrong.
func (f *FakeAPI) SetFaults(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// Bundles returns what is registered, the oldest first.
func (f *FakeAPI) Bundles() []Bundle {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bundles)
}

// Requests returns method and path of each request, in order.
func (f *FakeAPI) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Add registers a bundle as somebody else would.
func (f *FakeAPI) Add(b Bundle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(b)
}

func (f *FakeAPI) add(b Bundle) Bundle {
	b.ID = len(f.bundles) + 1
	b.StorageProvider = "external"
	f.bundles = append(f.bundles, b)
	return b
}

// refusal is what simpleError and quickError of the backend throw.
type refusal struct {
	status        int
	code, message string
	more          map[string]any
}

// ServeHTTP is the API.
func (f *FakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	answer, refused := f.answer(w, r)
	switch {
	case refused != nil:
		if refused.more == nil {
			refused.more = map[string]any{}
		}
		writeJSON(w, refused.status, map[string]any{"error": refused.code, "message": refused.message, "moreInfo": refused.more})
	case answer != nil:
		writeJSON(w, http.StatusOK, answer)
	}
}

// answer returns neither if it has answered by itself.
func (f *FakeAPI) answer(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	switch {
	case f.faults.Redirect != "":
		http.Redirect(w, r, f.faults.Redirect+r.URL.Path, http.StatusTemporaryRedirect)
		return nil, nil
	case f.faults.HTML:
		_, _ = w.Write([]byte("<html>please log in</html>"))
		return nil, nil
	case f.faults.Broken > 0:
		f.faults.Broken--
		return nil, &refusal{500, "unknown_error", "Unknown error", nil}
	}
	// middlewareKey: capgkey or authorization, as they are.
	key := r.Header.Get("capgkey")
	if key == "" {
		key = r.Header.Get("authorization")
	}
	switch {
	case key == "":
		return nil, &refusal{401, "no_key_provided", "No key provided", nil}
	case key != f.key:
		return nil, &refusal{401, "invalid_apikey", "Invalid apikey", nil}
	case f.faults.Busy > 0:
		f.faults.Busy--
		return nil, &refusal{429, "too_many_requests", "Too many requests", map[string]any{"reason": "api_key_rate_limit_exceeded", "retryAfterSeconds": 7}}
	case r.URL.Path != "/bundle":
		return nil, &refusal{404, "not_found", "Not found", nil}
	case r.Method == "POST":
		return f.create(w, r)
	case r.Method == "GET":
		return f.list(r)
	}
	return nil, &refusal{404, "not_found", "Not found", nil}
}

// The rules of utils/utils.ts.
var (
	reverseDomain = regexp.MustCompile(`(?i)^[a-z0-9]+(\.[\w-]+)+$`)
	semver        = regexp.MustCompile(`(?i)^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-z-][0-9a-z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-z-][0-9a-z-]*))*))?(?:\+([0-9a-z-]+(?:\.[0-9a-z-]+)*))?$`)
)

// create is createBundle of create.ts, check by check.
func (f *FakeAPI) create(w http.ResponseWriter, r *http.Request) (any, *refusal) {
	bad := func(code, message string) (any, *refusal) { return nil, &refusal{400, code, message, nil} }
	var body struct {
		AppID       string `json:"app_id"`
		Version     string `json:"version"`
		ExternalURL string `json:"external_url"`
		Checksum    string `json:"checksum"`
		SessionKey  string `json:"session_key"`
		KeyID       string `json:"key_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return bad("invalid_json_parse_body", "Invalid JSON body")
	}
	switch {
	case body.AppID == "":
		return bad("missing_app_id", "Missing required fields: app_id")
	case !reverseDomain.MatchString(body.AppID):
		return bad("invalid_app_id", "App ID must be a reverse domain string")
	case body.Version == "":
		return bad("missing_version", "Missing required fields: version")
	case body.ExternalURL == "":
		return bad("missing_external_url", "Missing required fields: external_url")
	case body.Checksum == "":
		return bad("missing_checksum", "Missing required fields: checksum")
	case !semver.MatchString(body.Version):
		return bad("invalid_version_format", "Version must be valid semver format (e.g., 1.0.0, 1.0.0-alpha.1)")
	case !strings.HasPrefix(body.ExternalURL, "https://"):
		return bad("invalid_protocol", "External URL must use HTTPS protocol")
	}
	if required := f.faults.RequiredKey; required != "" {
		switch {
		case body.SessionKey == "":
			return bad("encryption_required", "This organization requires all bundles to be encrypted. Please upload an encrypted bundle with a session_key.")
		case body.KeyID == "":
			return bad("encryption_key_required", "This organization requires bundles to be encrypted with a specific key. The uploaded bundle does not have a key_id.")
		case body.KeyID != required[:min(20, len(required))]:
			return bad("encryption_key_mismatch", "This organization requires bundles to be encrypted with a specific key. The uploaded bundle was encrypted with a different key.")
		}
	}
	for _, b := range f.bundles {
		if b.AppID != body.AppID || b.Name != body.Version {
			continue
		}
		if !b.Deleted {
			return bad("version_already_exists", "Version already exists")
		}
		return nil, &refusal{400, "cannot_create_bundle", "Cannot create bundle", map[string]any{
			"supabaseError": map[string]any{"code": "23505", "message": "duplicate key value violates unique constraint"},
		}}
	}
	b := Bundle{
		AppID: body.AppID, Name: body.Version, ExternalURL: body.ExternalURL,
		Checksum: body.Checksum, SessionKey: body.SessionKey, KeyID: body.KeyID,
	}
	if f.faults.Garble {
		b.ExternalURL += "?elsewhere"
	}
	b = f.add(b)
	if f.faults.LoseAnswers > 0 {
		f.faults.LoseAnswers--
		cut(w)
		return nil, nil
	}
	return map[string]any{"status": "success", "bundle": b}, nil
}

// list is get of get.ts: 50 bundles on a page, the newest first.
func (f *FakeAPI) list(r *http.Request) (any, *refusal) {
	const limit = 50
	q := r.URL.Query()
	refused := &refusal{400, "cannot_get_bundle", "Cannot get bundle", nil}
	if q.Get("app_id") == "" {
		return nil, &refusal{400, "missing_app_id", "Missing app_id", nil}
	}
	if f.faults.NoReading {
		return nil, &refusal{400, "cannot_get_bundle", "You can't access this app", nil}
	}
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil && q.Get("page") != "" {
		return nil, refused
	}
	var rows []Bundle
	for _, b := range slices.Backward(f.bundles) {
		if b.AppID == q.Get("app_id") && !b.Deleted {
			rows = append(rows, b)
		}
	}
	from := min(page*limit, len(rows))
	rows = rows[from:min(from+limit, len(rows))]
	if len(rows) == 0 {
		return nil, refused
	}
	return rows, nil
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic("publishtest: " + err.Error())
	}
	_ = conn.Close() // the caller is not to hear anything
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the test sees what did not arrive
}
