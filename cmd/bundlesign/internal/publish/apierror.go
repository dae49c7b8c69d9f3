package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// LostError is a call of which it is not known whether it did something: nobody
// answered, or not as the Capgo API does.
type LostError struct {
	API string
	Err error
}

func (e *LostError) Error() string { return fmt.Sprintf("the Capgo API at %s: %v", e.API, e.Err) }

func (e *LostError) Unwrap() error { return e.Err }

// Hint says what can be tried.
func (e *LostError) Hint() string {
	return "the same command can be run again: what was registered already is noticed"
}

// APIError is the API's no.
type APIError struct {
	Status  int    // of HTTP
	Code    string // its word for it, such as "version_already_exists"
	Message string
	// Wait is how long it wants not to be asked; 0 if it did not say.
	Wait time.Duration
}

func (e *APIError) Error() string {
	text := fmt.Sprintf("the Capgo API refused: %s (HTTP %d", e.Message, e.Status)
	if e.Code != "" {
		text += ", " + e.Code
	}
	return text + ")"
}

// Denied reports whether the API key is not good, or not good enough.
func (e *APIError) Denied() bool {
	return e.Status == 401 || e.Status == 403 || e.Code == "cannot_create_bundle"
}

const maxMessage = 300 // bytes of a message that are shown

// refusal reads what the API answers instead of 200: {"error", "message",
// "moreInfo"}. Nothing of it is shown that could be the key.
func (a *API) refusal(resp *http.Response, data []byte) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		// Where to, it may say with a query that is not for a log.
		return &APIError{Status: resp.StatusCode, Code: redirect, Message: "it sent us elsewhere, and the API key is not taken along"}
	}
	var body struct {
		Error    string `json:"error"`
		Message  string `json:"message"`
		MoreInfo struct {
			SupabaseError struct {
				Message string `json:"message"`
			} `json:"supabaseError"`
			RetryAfterSeconds float64 `json:"retryAfterSeconds"`
		} `json:"moreInfo"`
	}
	// A member of another type costs only itself, so the error says nothing.
	_ = json.Unmarshal(data, &body)
	e := &APIError{Status: resp.StatusCode, Code: a.clean(body.Error), Message: a.clean(body.Message)}
	if e.Message == "" {
		e.Message = "it does not say why"
	}
	if more := a.clean(body.MoreInfo.SupabaseError.Message); more != "" {
		e.Message += ": " + more
	}
	seconds := body.MoreInfo.RetryAfterSeconds
	if header, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		seconds = float64(header)
	}
	if seconds > 0 && seconds < 1e6 {
		e.Wait = time.Duration(seconds * float64(time.Second))
	}
	if e.Status >= 500 {
		return &LostError{a.base, e}
	}
	return e
}

func (a *API) clean(s string) string {
	s = strings.ReplaceAll(s, a.key, "[API key]")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "..."
	}
	return s
}

// redirect is our own word, beside those of the API.
const redirect = "redirect"

// Hint says what can be tried, or nothing.
func (e *APIError) Hint() string {
	switch e.Code {
	case "encryption_required":
		return "the organization takes only encrypted bundles, and the API did not see the session key: is --api its address?"
	case "encryption_key_required", "encryption_key_mismatch":
		return "the organization takes only bundles of one key: sign with that one, or have the required key changed in the organization's settings"
	case "version_already_exists":
		return "a version is registered once and for all: sign and publish it under another one"
	case "invalid_version_format":
		return "use a semantic version such as 1.4.0, without a leading v"
	case "invalid_app_id", "cannot_find_app":
		return "is the app known to Capgo under this id, and is this its API (--api)?"
	case "cannot_create_bundle":
		return "does the API key have the right to upload bundles of this app? And a version that was deleted cannot be used again"
	case "cannot_get_bundle":
		return "does the API key have the right to read the bundles of this app?"
	case "no_key_provided", "invalid_apikey", "invalid_subkey":
		return "is the API key right, and not expired? It is taken from --api-key-file, " + KeyVariable + " or " + keyFile
	case "invalid_protocol":
		return "give an address that begins with https://"
	case "too_many_requests":
		return "wait a while, then run the same command again"
	case redirect:
		return "name the address that it leads to, if you trust it: --api"
	case "not_found":
		return "is this the address of a Capgo API? (--api)"
	}
	if strings.HasPrefix(e.Code, "missing_") {
		return "the API wants something that this version does not send: is there a newer bundlesign?"
	}
	return ""
}

// Hint says what can be tried about an error of this package, or nothing.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
