package publish

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Registration is an encrypted bundle that the Capgo bundle API is told about. The
// bundle itself lies at URL already; Capgo never looks at it.
type Registration struct {
	App        string // app id
	Version    string // semantic version
	URL        string // where phones download it, https
	Checksum   string // signed
	SessionKey string // iv:key, both base64
	KeyID      string // see [capgo.PublicKey.KeyID]
}

// keyIDLength is how many characters of a key id Capgo compares.
const keyIDLength = 20

// Check reports whether the API would take the registration, by its rules and by
// ours.
func (r *Registration) Check() error {
	if err := CheckApp(r.App); err != nil {
		return err
	}
	if err := CheckVersion(r.Version); err != nil {
		return err
	}
	if err := CheckURL(r.URL); err != nil {
		return err
	}
	if len(r.KeyID) != keyIDLength {
		return fmt.Errorf("key id: found %d characters, want %d", len(r.KeyID), keyIDLength)
	}
	_, err := checkSigned(r.Checksum, r.SessionKey)
	return err
}

// Register tells the Capgo bundle API at an address about a bundle. See
// [API.Register].
func Register(ctx context.Context, api, apiKey string, r *Registration) error {
	a, err := NewAPI(api, apiKey, "bundlesign")
	if err != nil {
		return err
	}
	_, err = a.Register(ctx, r)
	return err
}

const (
	tries      = 3
	pauseFirst = time.Second
	// pauseMost is the longest that is waited for an API that says when to come back.
	pauseMost = time.Minute
)

// Register tells the API about a bundle. Phones do not get it before it is put
// into a channel.
//
// The API refuses a version that it has, so that a call whose answer was lost is
// made again: the second then finds what the first has done. Whatever is there
// under this version must be what was to be registered, to the letter, and that is
// a success: already is true then.
func (a *API) Register(ctx context.Context, r *Registration) (already bool, err error) {
	if err := r.Check(); err != nil {
		return false, err
	}
	lost := false // an earlier call may have done it
	for try := 1; ; try++ {
		err := a.create(ctx, r)
		var refused *APIError
		var gone *LostError
		wait := pauseFirst << (try - 1)
		switch {
		case err == nil:
			return false, nil
		case errors.As(err, &gone):
			lost = true
		case !errors.As(err, &refused):
			return false, err
		case refused.Code == "version_already_exists",
			lost && refused.Code == "cannot_create_bundle": // both arrived at the same time
			return a.compare(ctx, r, refused)
		case refused.Code == "too_many_requests" && refused.Wait <= pauseMost:
			wait = max(wait, refused.Wait)
		default:
			return false, err
		}
		if try == tries || ctx.Err() != nil {
			return false, err
		}
		if err := a.pause(ctx, wait); err != nil {
			return false, err
		}
	}
}

// registered is a bundle as the API keeps it: a row of its table.
type registered struct {
	Name        string `json:"name"` // the version
	AppID       string `json:"app_id"`
	ExternalURL string `json:"external_url"`
	Checksum    string `json:"checksum"`
	SessionKey  string `json:"session_key"`
	KeyID       string `json:"key_id"`
}

// create asks once.
func (a *API) create(ctx context.Context, r *Registration) error {
	var answer struct {
		Status string     `json:"status"`
		Bundle registered `json:"bundle"`
	}
	err := a.call(ctx, "POST", nil, map[string]string{
		"app_id": r.App, "version": r.Version, "external_url": r.URL,
		"checksum": r.Checksum, "session_key": r.SessionKey, "key_id": r.KeyID,
	}, &answer)
	if err != nil {
		return err
	}
	if answer.Status != "success" {
		return &LostError{a.base, fmt.Errorf("it answered with the status %q, want \"success\": is this its address?", a.clean(answer.Status))}
	}
	if differs := answer.Bundle.differs(r); differs != "" {
		return &MismatchError{a.base, r.Version, differs, true}
	}
	return nil
}

// compare looks whether what is registered under the version is the same. If it is
// not found, the refusal stands.
func (a *API) compare(ctx context.Context, r *Registration, refused *APIError) (already bool, err error) {
	found, err := a.find(ctx, r.App, r.Version)
	switch {
	case err != nil:
		return false, fmt.Errorf("%w; and what is registered could not be read: %w", refused, err)
	case found == nil:
		return false, refused
	}
	if differs := found.differs(r); differs != "" {
		return false, &MismatchError{a.base, r.Version, differs, false}
	}
	return true, nil
}

const (
	pageLength = 50  // bundles on a page, the newest first
	mostPages  = 100 // after which a version is taken for not there
)

// find returns what is registered under a version, or nil.
func (a *API) find(ctx context.Context, app, version string) (*registered, error) {
	for page := range mostPages {
		var rows []registered
		err := a.call(ctx, "GET", url.Values{"app_id": {app}, "page": {strconv.Itoa(page)}}, nil, &rows)
		var refused *APIError
		if page > 0 && errors.As(err, &refused) && refused.Code == "cannot_get_bundle" {
			return nil, nil // its word for a page without bundles
		}
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Name == version && (row.AppID == "" || row.AppID == app) {
				return &row, nil
			}
		}
		if len(rows) < pageLength {
			return nil, nil
		}
	}
	return nil, nil
}

// differs names the first thing that is registered otherwise, or nothing.
func (b *registered) differs(r *Registration) string {
	for _, f := range []struct{ name, found, want string }{
		{"version", b.Name, r.Version},
		{"checksum", b.Checksum, r.Checksum},
		{"session_key", b.SessionKey, r.SessionKey},
		{"external_url", b.ExternalURL, r.URL},
		{"key_id", b.KeyID, r.KeyID},
	} {
		if f.found != f.want {
			return f.name
		}
	}
	return ""
}

// MismatchError is a version that is registered as something else.
type MismatchError struct {
	API     string
	Version string
	Member  string // what differs, such as "external_url"
	Fresh   bool   // the API said so in the answer to this very registration
}

func (e *MismatchError) Error() string {
	if e.Fresh {
		return fmt.Sprintf("the Capgo API at %s registered version %s with another %s than it was told", e.API, e.Version, e.Member)
	}
	return fmt.Sprintf("version %s is registered at %s already, with another %s", e.Version, e.API, e.Member)
}

// Hint says what can be tried.
func (e *MismatchError) Hint() string {
	if e.Fresh {
		return "do not put this version into a channel; is --api the address of your API?"
	}
	return "a version is registered once and for all: sign and publish it under another one"
}
