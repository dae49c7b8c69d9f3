package backends

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
	"github.com/bundlesign/bundlesign/backends/vault"
)

const wantScheme = "want file:/PATH.pem, pkcs11:token=LABEL;object=LABEL?module-path=/PATH.so&pin-source=/PATH, gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N or hashivault://MOUNT/KEY?version=N&address=https://HOST:8200"

// parsed is the URI of a key: one of the four.
type parsed struct {
	path   string // of a key file
	pkcs11 *uri.URI
	gcpkms *gcpkms.URI
	vault  *vault.URI
}

func parse(keyURI string) (parsed, error) {
	switch scheme(keyURI) {
	case "file":
		path, err := file.ParseURI(keyURI)
		if err != nil {
			return parsed{}, fmt.Errorf("file URI: %w", err)
		}
		return parsed{path: path}, nil
	case "pkcs11":
		u, err := uri.Parse(keyURI)
		if err != nil {
			return parsed{}, fmt.Errorf("pkcs11 URI: %w", err)
		}
		return parsed{pkcs11: u}, nil
	case "hashivault":
		u, err := vault.ParseURI(keyURI)
		if err != nil {
			return parsed{}, fmt.Errorf("hashivault URI: %w", err)
		}
		return parsed{vault: u}, nil
	case "gcpkms":
		u, err := gcpkms.ParseURI(keyURI)
		if err != nil {
			return parsed{}, fmt.Errorf("gcpkms URI: %w", err)
		}
		return parsed{gcpkms: u}, nil
	case "":
		return parsed{}, errors.New("found no URI scheme; " + wantScheme)
	default:
		// The scheme is not repeated: without one, this may be a secret.
		return parsed{}, errors.New("found an unknown URI scheme; " + wantScheme)
	}
}

// scheme returns what is before the first colon, in lower case, or "".
func scheme(uri string) string {
	s, _, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	return strings.ToLower(s)
}

// CheckURI reports what is wrong with the URI of a key, without touching
// anything. It never repeats a PIN.
func CheckURI(keyURI string) error {
	_, err := parse(keyURI)
	return err
}

// RedactURI returns the URI of a key as it may be shown. One that [CheckURI]
// accepts has no secret in it and is shown as it is. Of any other, which may have
// a PIN anywhere, only the scheme is shown.
func RedactURI(keyURI string) string {
	const hidden = "[not shown: not a valid key URI]"
	if CheckURI(keyURI) == nil {
		return keyURI
	}
	switch s := scheme(keyURI); s {
	case "file", "pkcs11", "gcpkms", "hashivault":
		return s + ":" + hidden
	}
	return hidden
}
