package capgo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bundlesign/bundlesign/capgo"
)

const goodUpdate = `{"version": "1.2.3", "url": "https://cdn.example.com/1.zip", "session_key": "a:b", "checksum": "c",
 "message": "passed over", "manifest": [
  {"file_name": "a.js.br", "file_hash": "h1", "download_url": "https://cdn.example.com/files/1", "size": 1},
  {"file_name": "b c.js", "file_hash": "h2", "download_url": "https://cdn.example.com/files/2?x=y"}]}`

func TestParseUpdate(t *testing.T) {
	got, err := capgo.ParseUpdate([]byte(goodUpdate))
	if err != nil {
		t.Fatal(err)
	}
	want := &capgo.Update{
		Version: "1.2.3", URL: "https://cdn.example.com/1.zip", SessionKey: "a:b", Checksum: "c",
		Manifest: []capgo.ManifestEntry{
			{FileName: "a.js.br", FileHash: "h1", DownloadURL: "https://cdn.example.com/files/1"},
			{FileName: "b c.js", FileHash: "h2", DownloadURL: "https://cdn.example.com/files/2?x=y"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("update (-want +got):\n%s", diff)
	}
	for _, part := range []string{ // one of the two is enough
		`{"version": "1.2.3-rc.1+5", "url": "https://a.example/1.zip", "session_key": "a:b", "checksum": "c"}`,
		`{"version": "1.2.3", "session_key": "a:b", "checksum": "", "manifest": [{"file_name": "a", "file_hash": "h", "download_url": "https://a.example/1"}]}`,
	} {
		if _, err := capgo.ParseUpdate([]byte(part)); err != nil {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestParseUpdateRefuses(t *testing.T) {
	change := func(old, new string) string {
		out := strings.Replace(goodUpdate, old, new, 1)
		if out == goodUpdate {
			t.Fatalf("%q is not there", old)
		}
		return out
	}
	for _, test := range []struct{ update, says string }{
		{"", "EOF"},
		{"[]", "array"},
		{goodUpdate + "{}", "after top-level value"},
		{`{"error": "no_new_version_available", "message": "No new version"}`, "version"},
		{change(`"1.2.3"`, `"1.2"`), "semver"},
		{change(`"1.2.3"`, `"v1.2.3"`), "semver"},
		{change(`"1.2.3"`, `123`), "version"},
		{change(`"session_key"`, `"Session_Key"`), "session_key"},
		{change(`"a:b"`, `""`), "session_key"},
		{change(`"checksum": "c"`, `"checksum": "c", "checksum": "d"`), "duplicate"},
		{change(`"file_hash": "h1"`, `"file_hash": "h1", "file_hash": "h3"`), "duplicate"},
		{change(`"checksum": "c",`, ``), "checksum"},
		{change(`https://cdn.example.com/1.zip`, `http://cdn.example.com/1.zip`), "url: found"},
		{change(`https://cdn.example.com/1.zip`, `https://user:pw@cdn.example.com/1.zip`), "password"},
		{change(`https://cdn.example.com/files/1`, `http://cdn.example.com/files/1`), "manifest[0] (\"a.js.br\"): download_url"},
		{change(`https://cdn.example.com/files/1`, `files/1`), "download_url"},
		{change(`https://cdn.example.com/files/1`, ``), "found none"},
		{change(`https://cdn.example.com/files/1`, `file:///etc/passwd`), "https"},
		{change(`"h2"`, `""`), "file_hash"},
		{change(`"file_hash": "h2", `, ``), "file_hash"},
		{change(`b c.js`, `../b.js`), `".."`},
		{change(`b c.js`, `a.js`), "same place"},
		{change(`b c.js`, `a.js/b.js`), "the folder of"},
		{change(`{"file_name": "a.js.br"`, `{"file_name": "\ud800"`), "surrogate"},
		{`{"version": "1.2.3", "session_key": "a:b", "checksum": "c"}`, "nothing to download"},
		{`{"version": "1.2.3", "session_key": "a:b", "checksum": "c", "manifest": []}`, "nothing to download"},
	} {
		u, err := capgo.ParseUpdate([]byte(test.update))
		if err == nil || u != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.300s\nfound %v, want an error with %q", test.update, err, test.says)
		}
	}
}

func TestParseManifest(t *testing.T) {
	entry := func(name, url string) string {
		return fmt.Sprintf(`{"file_name": %q, "file_hash": "h", "download_url": %q}`, name, url)
	}
	for _, url := range []string{"files/0a", "https://a.example/0a", "a"} {
		if _, err := capgo.ParseManifest([]byte("[" + entry("a", url) + "]")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"", "/files/0a", "../0a", "files/../../0a", "files/%2e%2e/0a", "//evil.example/0a", "http://a.example/0a", "files/0a?b", "files/0a#b", `files\0a`, "data:,a", "https://"} {
		if _, err := capgo.ParseManifest([]byte("[" + entry("a", url) + "]")); err == nil || !strings.Contains(err.Error(), "download_url") {
			t.Errorf("%s: found %v", url, err)
		}
	}
	// One place by two names, however they are written: iOS does not tell apart how
	// an accent is composed.
	for _, names := range [][2]string{{"x", "x.br"}, {"x.br.br", "x.br.br"}, {"caf\u00e9.js", "cafe\u0301.js.br"}, {"a", "a/b"}, {"a.br", "a/b/c"}, {"a/b.br", "a/b/c"}} {
		for _, n := range [][2]string{names, {names[1], names[0]}} {
			if _, err := capgo.ParseManifest([]byte("[" + entry(n[0], "files/1") + "," + entry(n[1], "files/2") + "]")); err == nil {
				t.Errorf("%q: both were taken", n)
			}
		}
	}
	for _, names := range [][2]string{{"x.br", "x.br.br"}, {"a.b", "a/b"}, {"ab", "a/b"}} {
		if _, err := capgo.ParseManifest([]byte("[" + entry(names[0], "files/1") + "," + entry(names[1], "files/2") + "]")); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
	for _, bad := range []string{"", "null", "[]", "{}", "[null]", "[1]", `["a"]`, strings.Repeat(" ", 64<<20) + "[]"} {
		if m, err := capgo.ParseManifest([]byte(bad)); err == nil || m != nil {
			t.Errorf("%.20s: found %v, %v", bad, m, err)
		}
	}
	many := strings.Repeat("{},", 100_000) + "{}"
	if _, err := capgo.ParseManifest([]byte("[" + many + "]")); err == nil || !strings.Contains(err.Error(), "at most 100000") {
		t.Errorf("100,001 entries: found %v", err)
	}
}

func FuzzParseUpdate(f *testing.F) {
	f.Add([]byte(goodUpdate))
	f.Add([]byte(`{"version": "1.0.0", "Version": "2.0.0"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := capgo.ParseUpdate(data)
		if err != nil {
			if u != nil {
				t.Error("refused, and yet an update")
			}
			return
		}
		checkEntries(t, u.Manifest)
		// Written again, it reads the same.
		again, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := capgo.ParseUpdate(again); err != nil || !cmp.Equal(u, back) {
			t.Errorf("%s came back as %v, %v", again, back, err)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`[{"file_name": "a.br", "file_hash": "h", "download_url": "files/0a"}, {"file_name": "a/b", "file_hash": "h", "download_url": "https://a.example/"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := capgo.ParseManifest(data); err == nil {
			checkEntries(t, m)
		} else if m != nil {
			t.Error("refused, and yet a manifest")
		}
	})
}

// checkEntries holds entries that were accepted against what phones refuse.
func checkEntries(t *testing.T, m []capgo.ManifestEntry) {
	t.Helper()
	places := make(map[string]bool)
	for _, e := range m {
		place, _ := e.Target()
		if places[place] || place == "" || e.FileHash == "" || strings.HasPrefix(place, "/") || strings.ContainsAny(place, "\\\x00") {
			t.Errorf("accepted %q", e.FileName)
		}
		for part := range strings.SplitSeq(place, "/") {
			if part == ".." {
				t.Errorf("accepted %q", e.FileName)
			}
		}
		places[place] = true
	}
}
