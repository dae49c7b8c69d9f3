package gcpkms

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const wantName = "want " + Scheme + "projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N"

// segments are the collections of a resource name, and what a name in each
// looks like. The values are checked so that a slip shows when the configuration
// is read, not when the service is asked; the service has the last word.
var segments = []struct {
	collection string
	value      *regexp.Regexp
}{
	{"projects", regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{0,127}$`)},
	{"locations", regexp.MustCompile(`^[a-z0-9-]{1,63}$`)},
	{"keyRings", regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)},
	{"cryptoKeys", regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)},
	{"cryptoKeyVersions", regexp.MustCompile(`^[1-9][0-9]{0,18}$`)},
}

var serviceAccount = regexp.MustCompile(`^[a-z0-9-]{1,63}@[a-z0-9.-]{1,190}\.[a-z]{2,}$`)

// cutURI splits a URI into the resource name and the options after it.
func cutURI(uri string) (name, query string, err error) {
	rest, ok := strings.CutPrefix(uri, Scheme)
	if !ok {
		return "", "", fmt.Errorf("want a URI that begins with %q", Scheme)
	}
	if strings.ContainsAny(rest, "%#") {
		return "", "", errors.New("has a % or #: neither can be in the name of a key version or in an option")
	}
	name, query, ok = strings.Cut(rest, "?")
	if ok && query == "" {
		return "", "", errors.New("has an unknown option, which is empty")
	}
	return name, query, nil
}

// checkName checks a resource name that has so many of the segments.
func checkName(name string, want int) error {
	parts := strings.Split(name, "/")
	for i, s := range segments[:want] {
		if len(parts) <= 2*i+1 {
			if s.collection == "cryptoKeyVersions" {
				return errors.New("names no key version, which must be pinned: add /cryptoKeyVersions/N")
			}
			return fmt.Errorf("has no %s/…: %s", s.collection, wantName)
		}
		if parts[2*i] != s.collection {
			return fmt.Errorf("does not have %s/… at its place: %s", s.collection, wantName)
		}
		if !s.value.MatchString(parts[2*i+1]) {
			if s.collection == "cryptoKeyVersions" {
				return errors.New("has a key version that is not a number from 1: names such as \"latest\" pin nothing")
			}
			return fmt.Errorf("has a name after %s/ that Cloud KMS does not allow, want one like %s", s.collection, s.value)
		}
	}
	switch {
	case len(parts) == 2*want:
		return nil
	case want < len(segments):
		return errors.New("goes on after the name of the key: a new version gets its number from the service")
	}
	return fmt.Errorf("goes on after the key version: %s", wantName)
}

// parseQuery reads the options of a URI; protection reads that of this name.
func parseQuery(query string, a *Access, protection func(string) error) error {
	if query == "" {
		return nil
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		set := a.set
		if key == "protection" {
			set = func(_, value string) error { return protection(value) }
		}
		if err := set(key, value); err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("has %s= more than once", key)
		}
		seen[key] = true
	}
	return nil
}

func (a *Access) set(key, value string) error {
	switch key {
	case "credentials":
		if !filepath.IsAbs(value) || filepath.Clean(value) != value {
			return errors.New("credentials= is not a clean absolute path of a credentials file")
		}
		a.Credentials = value
	case "impersonate":
		if !serviceAccount.MatchString(value) {
			return errors.New("impersonate= is not the e-mail address of a service account, like signer@project.iam.gserviceaccount.com")
		}
		a.Impersonate = value
	case "endpoint":
		host, port, err := net.SplitHostPort(value)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" || strings.ContainsAny(value, "/@ ") {
			return errors.New("endpoint= is not host:port, like cloudkms.europe-west3.rep.googleapis.com:443")
		}
		a.Endpoint = value
	default:
		// Not repeated: it may be anything.
		return errors.New("has an unknown option; known are credentials=, impersonate=, endpoint= and protection=")
	}
	return nil
}
