package gcpkms_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
)

func TestParseURI(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]gcpkms.URI{
		"gcpkms://" + name: {Version: name},
		"gcpkms://" + name + "?credentials=/etc/bundlesignd/gcp.json&impersonate=signer@acme-prod.iam.gserviceaccount.com": {
			Version: name, Access: gcpkms.Access{Credentials: "/etc/bundlesignd/gcp.json", Impersonate: "signer@acme-prod.iam.gserviceaccount.com"},
		},
		"gcpkms://" + name + "?endpoint=cloudkms.europe-west3.rep.googleapis.com:443&protection=hsm": {
			Version: name, Access: gcpkms.Access{Endpoint: "cloudkms.europe-west3.rep.googleapis.com:443"}, HSM: true,
		},
		"gcpkms://projects/example.com:acme/locations/global/keyRings/r_1/cryptoKeys/K-1/cryptoKeyVersions/27": {
			Version: "projects/example.com:acme/locations/global/keyRings/r_1/cryptoKeys/K-1/cryptoKeyVersions/27",
		},
	} {
		got, err := gcpkms.ParseURI(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", uri, diff)
		}
	}
	if got := parse(t, "gcpkms://"+name).Location(); got != location {
		t.Errorf("location %s, want %s", got, location)
	}
}

func TestParseURIRefuses(t *testing.T) {
	t.Parallel()
	const key = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for uri, want := range map[string]string{
		"":                                                    `begins with "gcpkms://"`,
		"gcpkms:" + name:                                      `begins with "gcpkms://"`,
		"GCPKMS://" + name:                                    `begins with "gcpkms://"`,
		"gcpkms://":                                           "projects/…",
		"gcpkms:///" + name:                                   "projects/…",
		"gcpkms://projects/p":                                 "has no locations/…",
		"gcpkms://projects":                                   "has no projects/…",
		key:                                                   "names no key version, which must be pinned",
		key + "/":                                             "names no key version",
		key + "/cryptoKeyVersions":                            "names no key version",
		key + "/versions/1":                                   "cryptoKeyVersions/… at its place",
		key + "/cryptoKeyVersions/latest":                     "not a number from 1",
		key + "/cryptoKeyVersions/0":                          "not a number from 1",
		key + "/cryptoKeyVersions/01":                         "not a number from 1",
		key + "/cryptoKeyVersions/1/":                         "goes on after the key version",
		key + "/cryptoKeyVersions/1:sign":                     "not a number from 1",
		"gcpkms://projects/../locations/l":                    "after projects/",
		"gcpkms://projects/P/locations/l":                     "after projects/",
		"gcpkms://projects/p/keyRings/r/a/b":                  "locations/… at its place",
		"gcpkms://" + name + "#x":                             "has a % or #",
		"gcpkms://" + name + "?%63redentials=a":               "has a % or #",
		"gcpkms://" + name + "?":                              "unknown option",
		"gcpkms://" + name + "?token=s3cr3t":                  "unknown option",
		"gcpkms://" + name + "?s3cr3t":                        "unknown option",
		"gcpkms://" + name + "?credentials=s3cr3t":            "credentials= is not",
		"gcpkms://" + name + "?credentials=/a/../s3cr3t":      "credentials= is not",
		"gcpkms://" + name + "?credentials=/a&credentials=/b": "credentials= more than once",
		"gcpkms://" + name + "?impersonate=s3cr3t":            "impersonate= is not",
		"gcpkms://" + name + "?endpoint=s3cr3t":               "endpoint= is not host:port",
		"gcpkms://" + name + "?endpoint=https://h:443":        "endpoint= is not host:port",
		"gcpkms://" + name + "?endpoint=h:0":                  "endpoint= is not host:port",
		"gcpkms://" + name + "?endpoint=:443":                 "endpoint= is not host:port",
		"gcpkms://" + name + "?protection=s3cr3t":             `only one value, "hsm"`,
		"gcpkms://" + name + "?protection=hsm&protection=hsm": "protection= more than once",
		"gcpkms://user:s3cr3t@projects/p/locations/l/keyRings/r/cryptoKeys/k": "projects/… at its place",
	} {
		got, err := gcpkms.ParseURI(uri)
		if err == nil {
			t.Errorf("%s: accepted as %+v", uri, got)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", uri, err, want)
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error repeats a value: %v", uri, err)
		}
	}
}
