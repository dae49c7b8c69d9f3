package gcpkms_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/backends/gcpkms"
	"github.com/bundlesign/bundlesign/backends/gcpkms/kmstest"
)

func TestParseKeyURI(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]gcpkms.KeyURI{
		"":                     {Key: shop},
		"?protection=hsm":      {Key: shop},
		"?protection=software": {Key: shop, Software: true},
		"?credentials=/a&impersonate=" + signerAccount + "&endpoint=h:1": {
			Key: shop, Access: gcpkms.Access{Credentials: "/a", Impersonate: signerAccount, Endpoint: "h:1"},
		},
	} {
		got, err := gcpkms.ParseKeyURI(gcpkms.Scheme + shop + query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	for uri, want := range map[string]string{
		gcpkms.Scheme + name:                            "a new version gets its number from the service",
		gcpkms.Scheme + shop + "/":                      "a new version gets its number from the service",
		gcpkms.Scheme + ring:                            "has no cryptoKeys/…",
		gcpkms.Scheme + shop + "?protection=s3cr3t":     `nor "software"`,
		gcpkms.Scheme + shop + "?s3cr3t":                "unknown option",
		gcpkms.Scheme + shop + "?":                      "unknown option",
		gcpkms.Scheme + shop + "s3cr3t/../x":            "goes on after",
		gcpkms.Scheme + ring + "/cryptoKeys/s3cr3t key": "after cryptoKeys/",
	} {
		_, err := gcpkms.ParseKeyURI(uri)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: error %v, want one that says %q and repeats nothing", uri, err, want)
		}
	}
}

// The URI of a new version is for the daemon: it says how the service is reached and
// not as whom, which is an account of the daemon's own.
func TestNewURIHasNoCredentials(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	s := kmstest.NewTLS(t, a.accepts)
	s.SetPolls(0)
	s.AddRing(ring)
	path := t.TempDir() + "/admin.json"
	write(t, path, a.file)
	m := maker(t, s, "shop", "?credentials="+path+"&endpoint="+s.Addr())
	defer m.Close()
	uri, err := m.Create(t.Context())
	if want := gcpkms.Scheme + shop + "/cryptoKeyVersions/1?endpoint=" + s.Addr() + "&protection=hsm"; err != nil || uri != want {
		t.Fatalf("made %s, error %v, want %s", uri, err, want)
	}
	// The maker can show what it made.
	k, err := m.Open(uri)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Inspect(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPlanSaysWhatCannotBeUndone(t *testing.T) {
	t.Parallel()
	s, m := makerRig(t)
	plan := func(importing bool) string {
		said, err := m.Plan(t.Context(), importing)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(said, "\n")
	}
	for _, test := range []struct {
		importing bool
		says      []string
	}{
		{false, []string{"A new Cloud KMS key shop (key ring live, location europe-west3, project acme-prod) is made.", "protection level HSM", "destruction is scheduled", "pricing", "names no credentials"}},
		{true, []string{"takes imported versions only, for good", "import job", "not verified here", "goes on to exist"}},
	} {
		for _, want := range test.says {
			if got := plan(test.importing); !strings.Contains(got, want) {
				t.Errorf("importing %t: the plan does not say %q:\n%s", test.importing, want, got)
			}
		}
	}
	create(t, s, m)
	if got := plan(false); !strings.Contains(got, "exists and gets a new version") {
		t.Errorf("the plan for a key that exists:\n%s", got)
	}
	before := s.Calls("CreateCryptoKey") + s.Calls("CreateCryptoKeyVersion")
	if before != 2 {
		t.Errorf("%d calls made something, want only the 2 of the one version", before)
	}
}
