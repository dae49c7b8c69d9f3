package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// load reads a file with this text.
func load(t *testing.T, text string) *Project {
	t.Helper()
	p, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), Name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSettings(t *testing.T) {
	p := load(t, `
app: com.acme.shop
bundle: ./dist/
output: out/
version: "1.4"
socket: ssh://ci@build.example:2222/run/b.sock
channels:
  - a
  - "b"
public_key: ../keys/x.pem
token_file: "-"
delta: true
labels: {a: "1", b: "2"}
no_brotli: ["*.png"]
profiles:
  dev:
    delta: false
    socket: dev.sock
    token_file: /run/token
    channels: [c]
    labels: {b: "3", c: "4"}
    also_keys: [k=k.pem]
    format: legacy
    wait: 1h30m
    output: result.zip
    url: https://example.com/
    log_key: k
    key: k
    channel: c
  empty: {}
`)
	at := func(name string) string { return filepath.Join(p.Dir(), name) }
	base := Settings{
		Profile: "empty", App: "com.acme.shop", Bundle: at("dist"), Output: at("out") + "/", Version: "1.4", Socket: "ssh://ci@build.example:2222/run/b.sock",
		Channels: []string{"a", "b"}, PublicKey: at("../keys/x.pem"), TokenFile: "-", Delta: true,
		Labels: map[string]string{"a": "1", "b": "2"}, NoBrotli: []string{"*.png"},
	}
	dev := base
	dev.Profile, dev.Delta, dev.Socket, dev.TokenFile, dev.Channels = "dev", false, at("dev.sock"), "/run/token", []string{"c"}
	dev.Labels = map[string]string{"a": "1", "b": "3", "c": "4"}
	dev.AlsoKeys, dev.Format, dev.Wait, dev.Output = []string{"k=k.pem"}, "legacy", "1h30m", at("result.zip")
	dev.URL, dev.LogKey, dev.Key, dev.Channel = "https://example.com/", "k", "k", "c"
	for _, want := range []*Settings{&base, &dev, &base} { // one does not change the other
		found, err := p.Settings(want.Profile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%s (-want +found):\n%s", want.Profile, diff)
		}
	}
	for profile, want := range map[string]string{
		"":     "found no profile chosen, want one of dev, empty",
		"prod": `found no profile "prod", want one of dev, empty`,
	} {
		if _, err := p.Settings(profile); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: found %v, want %q", profile, err, want)
		}
	}
	if _, err := load(t, "app: a").Settings("dev"); err == nil || !strings.Contains(err.Error(), `found no profile "dev", and no others`) {
		t.Errorf("found %v", err)
	}
	if s, err := load(t, "app: a").Settings(""); err != nil || s.App != "a" || s.Profile != "" {
		t.Errorf("found %+v, %v", s, err)
	}
}

func TestFaultsHaveTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      ":1:1: found nothing but comments",
		"# only":                                ":1:1: found nothing but comments",
		"app":                                   `:1:1: found "app", want settings`,
		"- app: a":                              ": found a list, want settings",
		"app: a\nchanel: b":                     ":2:1: chanel: unknown field; the fields here are app, bundle, ",
		"app: a\napp: b":                        ":2:1: app: found a second time, the first is in line 1; want it once",
		"version: 1.4":                          `:1:10: version: found the number "1.4", want text: put it in quotes`,
		"app: true":                             `:1:6: app: found "true", want text: put it in quotes`,
		"app:":                                  ": app: found nothing, want text",
		`app: ""`:                               ":1:6: app: found an empty text",
		"app: [a]":                              ": app: found a list, want text",
		"app: \"a\\nb\"":                        ":1:6: app: found text with a character that cannot be printed (U+000A at byte 1)",
		"app: \"a\\u202eb\"":                    "U+202E",
		"delta: yes":                            `:1:8: delta: found "yes", want true or false`,
		"delta: \"true\"":                       "want true or false",
		"channels: a":                           `:1:11: channels: found "a", want a list; one value is a list too: [value]`,
		"channels: []":                          "channels: found an empty list",
		"channels: [a, 1]":                      `:1:15: channels[1]: found the number "1", want text`,
		"labels: [a]":                           "labels: found a list, want names",
		"labels:\n  a: 1":                       `:2:6: labels.a: found the number "1", want text`,
		"labels:\n  a: b\n  a: c":               ":3:3: labels.a: found a second time",
		"wait: soon":                            `:1:7: wait: found "soon", want a duration such as 30m`,
		"wait: 0s":                              "want a duration",
		"format: v3":                            `format: found "v3", want hex or legacy`,
		"profile: dev":                          `:1:10: profile: found "dev", want one that stands under profiles, and found none there`,
		"profile: a\nprofiles: {b: {}}":         `:1:10: profile: found "a", want one of b`,
		"profiles: a":                           `:1:11: profiles: found "a", want names of profiles`,
		"profiles: {dev: a}":                    `profiles.dev: found "a", want settings`,
		"profiles:\n  dev:\n    x: 1":           ":3:5: profiles.dev.x: unknown field; the fields here are app",
		"profiles: {dev: {profile: a}}":         "profiles.dev.profile: unknown field",
		"profiles:\n  \"a b\": {}":              `:2:3: profiles."a b": found a name that is not a word`,
		"1: a":                                  "as the name of a field",
		"a: &x b":                               "found an anchor (&)",
		"a: *x":                                 "found an alias (*)",
		"<<: {a: b}":                            "found a merge key (<<)",
		"app: !!str a":                          "found a tag (!!str)",
		"%YAML 1.2\n---\napp: a":                "found a directive (%)",
		"app: a\n---\napp: b":                   "found a second document (---)",
		"app: a\n...\nbundle: b\n":              "found a second document",
		"app: [" + strings.Repeat("[", 30):      "levels of nesting",
		"app: 'a":                               "not valid YAML",
		"app: \xff":                             "found the byte 0xff, which is not UTF-8",
		"\ufeffapp: a":                          "byte order mark",
		"app: a\x1b[2J":                         ":1:7: found the control character U+001B",
		"app: a\rb":                             "control character U+000D",
		"# " + strings.Repeat("x", maxFileSize): "found more than 65536 bytes",
		"output: ../x":                          `:1:9: output: found "../x", which is outside of the folder of bundlesign.yaml`,
		"output: /etc/passwd":                   "which is outside of the folder",
		"output: a/../../b":                     "which is outside of the folder",
		"socket: tcp://example.com":             "want a path or ssh://",
		"socket: ssh://u:secret@h":              "socket: found a password",
		"socket: ssh://-oProxyCommand=x":        "would be an option of ssh",
		"socket: ssh://-l@host":                 "would be an option of ssh",
		"socket: ssh:///x":                      "is missing",
	} {
		_, err := Load(write(t, text))
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q:\nfound %v, want %q", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%.60q: found %q, which is not for showing", text, err)
		}
	}
	// All of them, in the order of the file.
	_, err := Load(write(t, "wait: x\nprofiles:\n  a:\n    b: 1\nformat: x\n"))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 3 || errs[0].Line != 1 || errs[1].Line != 4 || errs[2].Line != 5 {
		t.Errorf("found %v, want three faults", err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Field != "wait" {
		t.Errorf("found %v, want the first fault", one)
	}
}

// A link in the repository does not lead the output out of it.
func TestOutputStaysInTheProject(t *testing.T) {
	name := write(t, "output: link/file")
	dir := filepath.Dir(name)
	for target, ok := range map[string]bool{"inside": true, t.TempDir(): false, "../none": false, "/none/none": false} {
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(name); (err == nil) != ok {
			t.Errorf("%s: found %v, want it taken: %t", target, err, ok)
		}
		if err := os.Remove(filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindGoesUpToTheRepository(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "repo", "apps", "shop")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	find := func(want string) {
		t.Helper()
		p, err := Find(deep)
		if err != nil {
			t.Error(err)
		} else if found := p != nil; found != (want != "") || found && p.Path != filepath.Join(root, want) {
			t.Errorf("found %+v, want %q", p, want)
		}
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "repo", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	find("")
	put(Name, "app: outside")
	find("")
	put("repo/"+Name, "app: repo")
	find("repo/" + Name)
	put("repo/apps/shop/"+Name, "app: shop")
	find("repo/apps/shop/" + Name)
	if err := os.Remove(filepath.Join(deep, Name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(deep, Name), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(deep); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("found %v for a folder of that name, want an error", err)
	}
	if _, err := Find(filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want fs.ErrNotExist", err)
	}
}

// Whatever is in a file, there is an answer.
func FuzzParse(f *testing.F) {
	f.Add([]byte("app: a\nprofiles: {dev: {labels: {a: b}, channels: [a]}}\nprofile: dev"))
	f.Add([]byte("socket: ssh://a@b:1/c\noutput: a/b\ntoken_file: '-'\nwait: 1h"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(filepath.Join(dir, Name), data)
		if (p == nil) == (err == nil) {
			t.Fatalf("found %v and %v", p, err)
		}
		if err != nil {
			if errs := Errors(nil); !errors.As(err, &errs) || len(errs) == 0 {
				t.Errorf("found %v, want Errors", err)
			}
			return
		}
		for _, profile := range append(p.Profiles(), p.DefaultProfile()) {
			if s, err := p.Settings(profile); err == nil && s.Output != "" && !inside(dir, s.Output) {
				t.Errorf("the output is %q", s.Output)
			}
		}
	})
}

// ownedBy is a file of a user.
type ownedBy struct {
	fs.FileInfo
	uid uint32
}

func (f ownedBy) Sys() any { return &syscall.Stat_t{Uid: f.uid} }

// In /tmp anybody can leave a bundlesign.yaml.
func TestFilesOfStrangersAreRefused(t *testing.T) {
	me := uint32(os.Geteuid())
	other, stranger := me+1, me+2
	for _, c := range []struct {
		file, dir uint32
		want      bool
	}{
		{me, me, true},
		{0, me, true},
		{other, other, true}, // a checkout in a container
		{me, other, true},
		{other, me, false},
		{stranger, other, false},
	} {
		if found := owned(ownedBy{uid: c.file}, ownedBy{uid: c.dir}); found != c.want {
			t.Errorf("a file of %d, a folder of %d, and I am %d: found %t, want %t", c.file, c.dir, me, found, c.want)
		}
	}
}
