package gcpkms

import (
	"errors"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
)

// KeyURI is a Cloud KMS key, whose versions are what is signed with, and how it is
// reached. It may not exist yet.
type KeyURI struct {
	// Key is the resource name of the key:
	// projects/P/locations/L/keyRings/R/cryptoKeys/K.
	Key string
	Access
	// Software has the service keep the key in its own memory and not in an HSM.
	Software bool
}

// ParseKeyURI reads the URI of a key without a version. Its options are those of
// the URI of a version, with one more value: protection=software. Without that a
// key is made in an HSM. Errors do not repeat values.
func ParseKeyURI(uri string) (*KeyURI, error) {
	name, query, err := cutURI(uri)
	if err != nil {
		return nil, err
	}
	if err := checkName(name, len(segments)-1); err != nil {
		return nil, err
	}
	u := &KeyURI{Key: name}
	err = parseQuery(query, &u.Access, func(protection string) error {
		switch protection {
		case "hsm":
		case "software":
			u.Software = true
		default:
			return errors.New(`protection= is neither "hsm", which is what is meant without it, nor "software"`)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// level is the protection level of the key.
func (u *KeyURI) level() kmspb.ProtectionLevel {
	if u.Software {
		return kmspb.ProtectionLevel_SOFTWARE
	}
	return kmspb.ProtectionLevel_HSM
}

// part returns the name after so many segments: 0 is the project's, 3 the key's.
func (u *KeyURI) part(segment int) string {
	return strings.Split(u.Key, "/")[2*segment+1]
}

// ring returns the resource name of the key ring.
func (u *KeyURI) ring() string {
	return strings.TrimSuffix(u.Key, "/cryptoKeys/"+u.part(3))
}

// gcloud returns a command with the flags that say which key is meant.
func (u *KeyURI) gcloud(command string) string {
	return "gcloud kms " + command + " --key=" + u.part(3) + " --keyring=" + u.part(2) + " --location=" + u.part(1) + " --project=" + u.part(0)
}

// version returns the URI of a version, for the configuration of a daemon. It has
// no credentials in it: those that made the key are not those to sign with.
func (u *KeyURI) version(name string) string {
	var options []string
	if u.Endpoint != "" {
		options = append(options, "endpoint="+u.Endpoint)
	}
	if !u.Software {
		options = append(options, "protection=hsm")
	}
	if len(options) == 0 {
		return Scheme + name
	}
	return Scheme + name + "?" + strings.Join(options, "&")
}
