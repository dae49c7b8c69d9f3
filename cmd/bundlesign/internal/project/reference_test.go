package project

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	docs         = "../../../../docs/releases.md"
	tableBegin   = "internal/project -update -->\n"
	tableEnd     = "<!-- end -->"
	exampleBegin = "```yaml\n# How updates of"
)

var update = flag.Bool("update", false, "rewrite the table in docs/releases.md")

// The manual's table is that of the fields.
func TestReferenceIsUpToDate(t *testing.T) {
	data, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), tableBegin)
	found, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatal("there is no place for the table")
	}
	want := "| field | takes | meaning |\n| --- | --- | --- |\n"
	for _, f := range fields() {
		want += "| `" + f.name + "` | " + string(f.kind) + " | " + f.manual + " |\n"
	}
	want += "| `profile` | text | name of the profile that is used if none is chosen; only at the top |\n"
	want += "| `profiles` | names with settings | the profiles; only at the top |\n"
	if *update {
		if err := os.WriteFile(docs, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("go test ./cmd/bundlesign/internal/project -update rewrites it (-want +found):\n%s", diff)
	}
}

// Every setting has a field that fills it, and no field fills nothing.
func TestEveryFieldIsASetting(t *testing.T) {
	filled := make(map[string]string)
	for _, f := range fields() {
		var s Settings
		f.put(&s, value{text: "x", list: []string{"x"}, labels: map[string]string{"x": "x"}, on: true})
		v := reflect.ValueOf(s)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; !v.Field(i).IsZero() {
				if filled[name] != "" {
					t.Errorf("%s is filled by %s and by %s", name, filled[name], f.name)
				}
				filled[name] = f.name
			}
		}
	}
	for i := range reflect.TypeFor[Settings]().NumField() {
		if name := reflect.TypeFor[Settings]().Field(i).Name; filled[name] == "" && name != "Profile" {
			t.Errorf("no field fills %s", name)
		}
	}
	if len(filled) != len(fields()) {
		t.Errorf("%d fields fill %d settings", len(fields()), len(filled))
	}
}

// The example of the manual works as it says.
func TestExampleOfTheManual(t *testing.T) {
	data, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(data), exampleBegin)
	example, _, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatal("there is no example")
	}
	p := load(t, "#"+example)
	at := func(name string) string { return filepath.Join(p.Dir(), name) }
	for profile, want := range map[string]*Settings{
		"": {
			Profile: "dev", App: "com.acme.shop", Bundle: at("dist"), Delta: true, Socket: "/run/user/bundlesignd-dev.sock",
			Channel: "dev", Channels: []string{"dev", "nightly"}, Key: "acme-shop-dev", PublicKey: at("keys/dev.pem"),
		},
		"production": {
			Profile: "production", App: "com.acme.shop", Bundle: at("dist"), Delta: true, Channel: "production", Channels: []string{"production", "beta"},
			Key: "acme-shop", PublicKey: at("keys/production.pem"), Wait: "2h", Labels: map[string]string{"team": "release"},
		},
	} {
		found, err := p.Settings(profile)
		if err != nil {
			t.Errorf("%q: %v", profile, err)
			continue
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%q (-want +found):\n%s", profile, diff)
		}
	}
}
