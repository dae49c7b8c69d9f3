package gcpkms

import (
	"errors"
	"strings"
)

// Scheme is how the URI of a Cloud KMS key begins.
const Scheme = "gcpkms://"

// URI is a key version in Cloud KMS and how it is reached.
type URI struct {
	// Version is the resource name of the key version:
	// projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N.
	Version string
	Access
	// HSM refuses the key unless an HSM holds it, imported or not.
	HSM bool
}

// Access is how the service is reached, and as whom.
type Access struct {
	// Credentials is the absolute path of a credentials file; "" means the
	// application default credentials of the machine.
	Credentials string
	// Impersonate is the e-mail address of a service account that the
	// credentials are exchanged for, or "".
	Impersonate string
	// Endpoint is the host:port of a regional or private endpoint, or "".
	Endpoint string
}

// Location returns the name of the version's location: projects/P/locations/L.
func (u *URI) Location() string {
	return strings.Join(strings.SplitN(u.Version, "/", 5)[:4], "/")
}

// ParseURI reads the URI of a key version. The version is a part of it, because
// a key without one would change under the public key that it is pinned to.
// No escapes are known, and none is needed. Errors do not repeat values.
func ParseURI(uri string) (*URI, error) {
	name, query, err := cutURI(uri)
	if err != nil {
		return nil, err
	}
	if err := checkName(name, len(segments)); err != nil {
		return nil, err
	}
	u := &URI{Version: name}
	err = parseQuery(query, &u.Access, func(protection string) error {
		if protection != "hsm" {
			return errors.New(`protection= has only one value, "hsm"; without it every protection level is accepted that custody: accepts`)
		}
		u.HSM = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}
