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

// Scheme is how the URI of a Cloud KMS key begins.
const Scheme = "gcpkms://"

// URI is a key version in Cloud KMS and how it is reached.
type URI struct {
	// Version is the resource name of the key version:
	// projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N.
	Version string
	// Credentials is the absolute path of a credentials file; "" means the
	// application default credentials of the machine.
	Credentials string
	// Impersonate is the e-mail address of a service account that the
	// credentials are exchanged for, or "".
	Impersonate string
	// Endpoint is the host:port of a regional or private endpoint, or "".
	Endpoint string
	// HSM refuses the key unless an HSM holds it, imported or not.
	HSM bool
}

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

// ParseURI reads the URI of a key version. The version is a part of it, because
// a key without one would change under the public key that it is pinned to.
// No escapes are known, and none is needed. Errors do not repeat values.
func ParseURI(uri string) (*URI, error) {
	rest, ok := strings.CutPrefix(uri, Scheme)
	if !ok {
		return nil, fmt.Errorf("want a URI that begins with %q", Scheme)
	}
	if strings.ContainsAny(rest, "%#") {
		return nil, errors.New("has a % or #: neither can be in the name of a key version or in an option")
	}
	name, query, hasQuery := strings.Cut(rest, "?")
	if err := checkName(name); err != nil {
		return nil, err
	}
	u := &URI{Version: name}
	if !hasQuery {
		return u, nil
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		if err := u.set(key, value); err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, fmt.Errorf("has %s= more than once", key)
		}
		seen[key] = true
	}
	return u, nil
}

func checkName(name string) error {
	parts := strings.Split(name, "/")
	for i, s := range segments {
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
	if len(parts) > 2*len(segments) {
		return fmt.Errorf("goes on after the key version: %s", wantName)
	}
	return nil
}

func (u *URI) set(key, value string) error {
	switch key {
	case "credentials":
		if !filepath.IsAbs(value) || filepath.Clean(value) != value {
			return errors.New("credentials= is not a clean absolute path of a credentials file")
		}
		u.Credentials = value
	case "impersonate":
		if !serviceAccount.MatchString(value) {
			return errors.New("impersonate= is not the e-mail address of a service account, like signer@project.iam.gserviceaccount.com")
		}
		u.Impersonate = value
	case "endpoint":
		host, port, err := net.SplitHostPort(value)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" || strings.ContainsAny(value, "/@ ") {
			return errors.New("endpoint= is not host:port, like cloudkms.europe-west3.rep.googleapis.com:443")
		}
		u.Endpoint = value
	case "protection":
		if value != "hsm" {
			return errors.New(`protection= has only one value, "hsm"; without it every protection level is accepted that custody: accepts`)
		}
		u.HSM = true
	default:
		// Not repeated: it may be anything.
		return errors.New("has an unknown option; known are credentials=, impersonate=, endpoint= and protection=hsm")
	}
	return nil
}

// Location returns the name of the version's location: projects/P/locations/L.
func (u *URI) Location() string {
	return strings.Join(strings.SplitN(u.Version, "/", 5)[:4], "/")
}
