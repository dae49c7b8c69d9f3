package publish

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
)

func anUpdate() *capgo.Update {
	return &capgo.Update{
		Version: "1.4.0", URL: "https://cdn.acme.example/1.4.0/app.zip_encrypted.zip?a=1&b=2",
		SessionKey: aSessionKey('k'), Checksum: aChecksum,
	}
}

func aDelta() []capgo.ManifestEntry {
	const base = "https://cdn.acme.example/1.4.0/delta/files/"
	return []capgo.ManifestEntry{
		{FileName: "index.html", FileHash: strings.Repeat("2b", 256), DownloadURL: base + strings.Repeat("0", 64)},
		{FileName: "assets/main.js.br", FileHash: strings.Repeat("3c", 256), DownloadURL: base + strings.Repeat("1", 64)},
	}
}

func TestUpdateJSON(t *testing.T) {
	u := anUpdate()
	data, err := UpdateJSON(u)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "version": "1.4.0",
  "url": "https://cdn.acme.example/1.4.0/app.zip_encrypted.zip?a=1&b=2",
  "session_key": "` + u.SessionKey + `",
  "checksum": "` + u.Checksum + `"
}
`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	u.Manifest = aDelta()
	if data, err = UpdateJSON(u); err != nil {
		t.Fatal(err)
	}
	back, err := capgo.ParseUpdate(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u, back); diff != "" {
		t.Error(diff)
	}
}

// Phones refuse an update without an address, also if they do not need it.
func TestUpdateJSONOfADeltaAlone(t *testing.T) {
	u := anUpdate()
	u.URL, u.Manifest = "", aDelta()
	data, err := UpdateJSON(u)
	if err != nil {
		t.Fatal(err)
	}
	back, err := capgo.ParseUpdate(data)
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://cdn.acme.example/1.4.0/delta/files/" + NoZip; back.URL != want {
		t.Errorf("found the url %q, want %q", back.URL, want)
	}
	if u.URL != "" {
		t.Error("the caller's update was changed")
	}
}

func TestUpdateJSONRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*capgo.Update)
		says  string
	}{
		{"nothing to download", func(u *capgo.Update) { u.URL = "" }, "neither url nor manifest"},
		{"plain http", func(u *capgo.Update) { u.URL = "http://cdn.acme.example/a.zip" }, "https://"},
		{"http to this machine", func(u *capgo.Update) { u.URL = "http://localhost/a.zip" }, "phones refuse plain http"},
		{"upper-case scheme", func(u *capgo.Update) { u.URL = "HTTPS://cdn.acme.example/a.zip" }, "https://"},
		{"no host", func(u *capgo.Update) { u.URL = "https:///a.zip" }, "HOST"},
		{"port alone", func(u *capgo.Update) { u.URL = "https://:443/a.zip" }, "HOST"},
		{"a folder", func(u *capgo.Update) { u.URL = "https://cdn.acme.example/" }, "address of a file"},
		{"fragment", func(u *capgo.Update) { u.URL += "#x" }, "after #"},
		{"space", func(u *capgo.Update) { u.URL = "https://cdn.acme.example/a b.zip" }, "percent-encoded"},
		{"line break", func(u *capgo.Update) { u.URL = "https://cdn.acme.example/a\n.zip" }, "no address"},
		{"not ASCII", func(u *capgo.Update) { u.URL = "https://cdn.acme.example/ä.zip" }, "percent-encoded"},
		{"password", func(u *capgo.Update) { u.URL = "https://me:hunter2@cdn.acme.example/a.zip" }, "password"},
		{"version", func(u *capgo.Update) { u.Version = "1.4" }, "semantic version"},
		{"leading v", func(u *capgo.Update) { u.Version = "v1.4.0" }, `without the leading "v"`},
		{"the app of the store", func(u *capgo.Update) { u.Version = "builtin" }, "semantic version"},
		{"unsigned checksum", func(u *capgo.Update) { u.Checksum = strings.Repeat("0", 64) }, "unsigned"},
		{"no session key", func(u *capgo.Update) { u.SessionKey = "" }, "session key"},
		{"session key in the clear", func(u *capgo.Update) { u.SessionKey = "AAAAAAAAAAAAAAAAAAAAAA==:AAAAAAAAAAAAAAAAAAAAAA==" }, "session key"},
		{"unsigned file", func(u *capgo.Update) { u.Manifest[0].FileHash = strings.Repeat("0", 64) }, "manifest[0]"},
		{"file of the other form", func(u *capgo.Update) { u.Manifest[1].FileHash = capgo.Signature{1}.Checksum(capgo.FormatLegacy) }, "manifest[1]"},
		{"relative address", func(u *capgo.Update) { u.Manifest[0].DownloadURL = "files/0" }, "download_url"},
		{"twice", func(u *capgo.Update) { u.Manifest[1].FileName = "index.html.br" }, "same place"},
		{"leaves the app", func(u *capgo.Update) { u.Manifest[1].FileName = "../x" }, "manifest[1]"},
	} {
		u := anUpdate()
		u.Manifest = aDelta()
		if !strings.Contains(test.name, "file") && test.name != "relative address" && test.name != "twice" && test.name != "leaves the app" {
			u.Manifest = nil
		}
		test.spoil(u)
		data, err := UpdateJSON(u)
		if err == nil || data != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: found the error %v, want one with %q", test.name, err, test.says)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error %v", err)
		}
	}
}
