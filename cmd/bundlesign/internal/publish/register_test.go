package publish

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish/publishtest"
)

func TestRegisterSendsWhatTheAPIWants(t *testing.T) {
	fake, api, _ := newFake(t, publishtest.Faults{RequiredKey: "MIIBCgKCAQEAqJikYizox"})
	already, err := api.Register(t.Context(), aRegistration())
	if err != nil || already {
		t.Fatalf("already %v, error %v", already, err)
	}
	r := aRegistration()
	want := []publishtest.Bundle{{
		ID: 1, AppID: r.App, Name: r.Version, ExternalURL: r.URL, Checksum: r.Checksum,
		SessionKey: r.SessionKey, KeyID: r.KeyID, StorageProvider: "external",
	}}
	if diff := cmp.Diff(want, fake.Bundles()); diff != "" {
		t.Error(diff)
	}
	// The contract that others use.
	again := aRegistration()
	again.Version = "1.4.1"
	if err := Register(t.Context(), fake.URL+"/", testKey, again); err != nil || len(fake.Bundles()) != 2 {
		t.Errorf("%d bundles, error %v", len(fake.Bundles()), err)
	}
}

// A call whose answer was lost did its work: nothing is registered twice, and
// nothing else is taken for it.
func TestRegisterAfterALostAnswer(t *testing.T) {
	for _, test := range []struct {
		name    string
		faults  publishtest.Faults
		before  func(*publishtest.FakeAPI)
		already bool
		calls   string
		waits   int
	}{
		{"answer lost", publishtest.Faults{LoseAnswers: 1}, nil, true, "POST POST GET", 1},
		{"broken before", publishtest.Faults{Broken: 2}, nil, false, "POST POST POST", 2},
		{"busy", publishtest.Faults{Busy: 1}, nil, false, "POST POST", 1},
		{"the same command again", publishtest.Faults{}, func(f *publishtest.FakeAPI) { f.Add(sameBundle()) }, true, "POST GET", 0},
		{"registered long ago", publishtest.Faults{}, func(f *publishtest.FakeAPI) {
			f.Add(sameBundle())
			for range 120 {
				other := sameBundle()
				other.Name = "1.0.0-" + strings.Repeat("x", len(f.Bundles()))
				f.Add(other)
			}
		}, true, "POST GET GET GET", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake, api, waited := newFake(t, test.faults)
			if test.before != nil {
				test.before(fake)
			}
			already, err := api.Register(t.Context(), aRegistration())
			if err != nil || already != test.already {
				t.Fatalf("already %v, error %v", already, err)
			}
			calls := strings.ReplaceAll(strings.Join(fake.Requests(), " "), " /bundle", "")
			if calls != test.calls {
				t.Errorf("found the calls %s, want %s", calls, test.calls)
			}
			if len(*waited) != test.waits {
				t.Errorf("waited %v, want %d pauses", *waited, test.waits)
			}
			if test.name == "busy" && (*waited)[0] != 7*time.Second {
				t.Errorf("waited %v, want the 7 s that the API asks for", *waited)
			}
		})
	}
}

func sameBundle() publishtest.Bundle {
	r := aRegistration()
	return publishtest.Bundle{AppID: r.App, Name: r.Version, ExternalURL: r.URL, Checksum: r.Checksum, SessionKey: r.SessionKey, KeyID: r.KeyID}
}

func TestRegisterIsRefused(t *testing.T) {
	otherURL, otherKey, deleted := sameBundle(), sameBundle(), sameBundle()
	otherURL.ExternalURL = "https://cdn.evil.example/shop/1.4.0.zip"
	otherKey.SessionKey = aSessionKey('x')
	deleted.Deleted = true
	for _, test := range []struct {
		name       string
		faults     publishtest.Faults
		before     *publishtest.Bundle
		says, hint string
	}{
		{"another URL is there", publishtest.Faults{}, &otherURL, "registered at http://127.0.0.1:", "under another one"},
		{"another session key is there", publishtest.Faults{}, &otherKey, "with another session_key", "under another one"},
		{"there, and not to be read", publishtest.Faults{NoReading: true}, &otherURL, "could not be read", "under another one"},
		{"deleted version", publishtest.Faults{}, &deleted, "cannot_create_bundle", "deleted cannot be used again"},
		{"another key is required", publishtest.Faults{RequiredKey: "MIIBCgKCAQEAother000"}, nil, "encryption_key_mismatch", "bundles of one key"},
		{"always broken", publishtest.Faults{Broken: 9}, nil, "HTTP 500", "can be run again"},
		{"a web page", publishtest.Faults{HTML: true}, nil, "not what the Capgo API says", "can be run again"},
		{"it writes down something else", publishtest.Faults{Garble: true}, nil, "with another external_url than it was told", "do not put this version into a channel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake, api, _ := newFake(t, test.faults)
			if test.before != nil {
				fake.Add(*test.before)
			}
			_, err := api.Register(t.Context(), aRegistration())
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("found the error %v, want one with %q", err, test.says)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Error("the API key is in the error")
			}
			if found := Hint(err); !strings.Contains(found, test.hint) || test.hint == "" && found != "" {
				t.Errorf("found the hint %q, want one with %q", found, test.hint)
			}
		})
	}
}

// The key goes to the server that was named, and nowhere else.
func TestRegisterDoesNotFollow(t *testing.T) {
	var followed []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		followed = append(followed, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	fake, api, _ := newFake(t, publishtest.Faults{Redirect: elsewhere.URL})
	_, err := api.Register(t.Context(), aRegistration())
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != http.StatusTemporaryRedirect || len(fake.Requests()) != 1 {
		t.Errorf("found %v after %v", err, fake.Requests())
	}
	if len(followed) > 0 {
		t.Errorf("the redirect was followed: %q", followed)
	}
}

func TestRegisterRefusesBeforeItAsks(t *testing.T) {
	for name, spoil := range map[string]func(*Registration){
		"app":           func(r *Registration) { r.App = "shop" },
		"version":       func(r *Registration) { r.Version = "v1.4.0" },
		"plain http":    func(r *Registration) { r.URL = "http://cdn.acme.example/1.zip" },
		"unsigned":      func(r *Registration) { r.Checksum = r.Checksum[:64] },
		"session key":   func(r *Registration) { r.SessionKey = "" },
		"key id":        func(r *Registration) { r.KeyID = "" },
		"odd base64":    func(r *Registration) { r.SessionKey = strings.Replace(r.SessionKey, ":", "\n:", 1) },
		"with password": func(r *Registration) { r.URL = "https://u:p@cdn.acme.example/1.zip" },
	} {
		fake, api, _ := newFake(t, publishtest.Faults{})
		r := aRegistration()
		spoil(r)
		if _, err := api.Register(t.Context(), r); err == nil || len(fake.Requests()) > 0 {
			t.Errorf("%s: found the error %v and the requests %v", name, err, fake.Requests())
		}
	}
}

func TestRegisterEndsWithItsContext(t *testing.T) {
	_, api, _ := newFake(t, publishtest.Faults{Broken: 9})
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	api.pause = func(ctx context.Context, d time.Duration) error {
		cancel(reason)
		return pause(ctx, time.Hour)
	}
	if _, err := api.Register(ctx, aRegistration()); !errors.Is(err, reason) {
		t.Errorf("found %v, want the reason of the context", err)
	}
}

func TestNewAPIRefusesAddressesThatLoseTheKey(t *testing.T) {
	for _, address := range []string{
		"", "api.capgo.app", "http://api.capgo.app", "ftp://api.capgo.app", "https://", "http://127.0.0.1.evil.example",
		"https://user:secret@api.capgo.app", "https://api.capgo.app?x=1", "https://api.capgo.app#x", "http://localhost.evil.example",
	} {
		_, err := NewAPI(address, testKey, "test")
		if err == nil {
			t.Errorf("%q was taken", address)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error %v", err)
		}
	}
	for _, address := range []string{DefaultAPI, "https://x.supabase.example/functions/v1/", "http://localhost:54321", "http://127.0.0.1:1/api", "http://[::1]:1"} {
		if _, err := NewAPI(address, testKey, "test"); err != nil {
			t.Error(err)
		}
	}
}

// What the API answers goes into a CI log.
func TestRefusalNeverShowsTheKey(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		echo := `{"error": "x` + testKey + `", "message": "no ` + testKey + strings.Repeat("y", 1000) + `", "moreInfo": {"supabaseError": {"message": "` + testKey + `"}}}`
		_, _ = w.Write([]byte(echo))
	}))
	defer server.Close()
	err := Register(t.Context(), server.URL, testKey, aRegistration())
	if err == nil || strings.Contains(err.Error(), testKey) || !strings.Contains(err.Error(), "[API key]") {
		t.Errorf("found %v", err)
	}
	if err != nil && len(err.Error()) > 1000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}
