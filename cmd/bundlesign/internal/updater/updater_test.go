package updater

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

func TestWhatReleasesCan(t *testing.T) {
	const hex, legacy = capgo.FormatHex, capgo.FormatLegacy
	for version, want := range map[string]struct {
		format         capgo.ChecksumFormat
		delta, session bool
	}{
		"4.9.9":           {legacy, false, false},
		"5.9.9":           {legacy, false, false},
		"5.10.0":          {legacy, true, false},
		"5.29.9":          {legacy, true, false},
		"5.30.0":          {hex, true, false},
		"6.24.9":          {legacy, false, false},
		"6.25.0":          {legacy, true, false},
		"6.30.0":          {hex, true, false},
		"7.0.29":          {legacy, false, false},
		"7.0.30":          {legacy, true, false},
		"7.30.0-beta.1":   {legacy, true, false},
		"7.30.0":          {hex, true, false},
		"8.0.0-alpha.1":   {hex, true, false},
		"8.0.0":           {hex, true, false},
		"8.51.22":         {hex, true, false},
		"8.51.23-alpha.0": {hex, true, false},
		"8.51.23":         {hex, true, true},
		"10.0.0":          {hex, true, true},
	} {
		i := &Installed{Version: version}
		if i.Format() != want.format || i.Delta() != want.delta || i.RequiresSessionKey() != want.session {
			t.Errorf("%s: found %s, %t, %t; want %+v", version, i.Format(), i.Delta(), i.RequiresSessionKey(), want)
		}
	}
	if i := (&Installed{Version: "7.29.0", AtLeast: true}); !i.FormatInDoubt() {
		t.Error("7.29.0 or later: found no doubt, and 7.30.0 has the other form")
	}
	if i := (&Installed{Version: "7.30.0", AtLeast: true}); i.FormatInDoubt() {
		t.Error("7.30.0 or later: found a doubt, and they all have the same form")
	}
}

// tree writes files into a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What is installed counts before what is declared, and the nearest before the others.
func TestFind(t *testing.T) {
	const at = "node_modules/@capgo/capacitor-updater/package.json"
	for name, c := range map[string]struct {
		files         map[string]string
		dir, packages string
		want, from    string
		atLeast       bool
	}{
		"installed":              {map[string]string{at: `{"version": "8.51.23"}`, "package.json": `{"dependencies": {"@capgo/capacitor-updater": "^5.0.0"}}`}, "", "", "8.51.23", at, false},
		"hoisted":                {map[string]string{at: `{"version": "8.1.0+build"}`, "apps/shop/package.json": "{}"}, "apps/shop", "", "8.1.0", at, false},
		"nearest":                {map[string]string{at: `{"version": "8.1.0"}`, "apps/shop/" + at: `{"version": "7.1.0"}`}, "apps/shop", "", "7.1.0", "apps/shop/" + at, false},
		"of the package.json":    {map[string]string{at: `{"version": "8.1.0"}`, "app/package.json": "{}", "app/" + at: `{"version": "7.1.0"}`}, "", "none/../app/package.json,", "7.1.0", "app/" + at, false},
		"declared exactly":       {map[string]string{"package.json": `{"dependencies": {"@capgo/capacitor-updater": "8.2.0"}}`}, "", "", "8.2.0", "package.json", false},
		"declared as a range":    {map[string]string{"package.json": `{"devDependencies": {"@capgo/capacitor-updater": "^8.50.0"}}`}, "", "", "8.50.0", "package.json", true},
		"another kind of range":  {map[string]string{"package.json": `{"dependencies": {"@capgo/capacitor-updater": ">= 8.50.0"}}`}, "", "", "8.50.0", "package.json", true},
		"Podfile":                {map[string]string{"x/package.json": `{"version": "6.1.0"}`, "ios/App/Podfile": "  pod 'CapgoCapacitorUpdater', :path => '../../x'\n"}, "", "", "6.1.0", "x/package.json", false},
		"Package.swift":          {map[string]string{"x/package.json": `{"version": "6.2.0"}`, "ios/App/CapApp-SPM/Package.swift": `        .package(name: "CapgoCapacitorUpdater", path: "../../../x"),`}, "", "", "6.2.0", "x/package.json", false},
		"capacitor.settings":     {map[string]string{"x/package.json": `{"version": "6.3.0"}`, "android/capacitor.settings.gradle": "project(':capgo-capacitor-updater').projectDir = new File('../x/android')\n"}, "", "", "6.3.0", "x/package.json", false},
		"native, and not there":  {map[string]string{"ios/App/Podfile": "  pod 'CapgoCapacitorUpdater', :path => '../../x'\n", "package.json": `{"dependencies": {"@capgo/capacitor-updater": "8.2.0"}}`}, "", "", "8.2.0", "package.json", false},
		"none":                   {map[string]string{"package.json": `{"dependencies": {"@capgo/cli": "1.0.0"}}`}, "", "", "", "", false},
		"nothing at all":         {nil, "", "", "", "", false},
		"a file as node_modules": {map[string]string{"node_modules": ""}, "", "", "", "", false},
	} {
		dir := tree(t, c.files)
		if name == "of the package.json" {
			if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		found, err := Find(filepath.Join(dir, c.dir), c.packages)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.want == "" {
			if found != nil {
				t.Errorf("%s: found %+v, want none", name, found)
			}
			continue
		}
		if found == nil || found.Version != c.want || found.From != filepath.Join(dir, c.from) || found.AtLeast != c.atLeast {
			t.Errorf("%s: found %+v, want %+v", name, found, c)
		}
	}
}

func TestFindGuessesNothing(t *testing.T) {
	for _, wanted := range []string{`"latest"`, `"8"`, `"8.x"`, `"^8.5"`, `"^7.0.0 || ^8.0.0"`, `"workspace:*"`, `"file:.."`, `"v8.0.0"`, `""`, `8`, `"8.0.0\u001b[2J"`, `"<8.0.0"`} {
		dir := tree(t, map[string]string{"package.json": `{"dependencies": {"@capgo/capacitor-updater": ` + wanted + `}}`})
		if found, err := Find(dir, ""); !errors.As(err, new(*UnclearError)) {
			t.Errorf("%s: found %+v, %v; want an UnclearError", wanted, found, err)
		}
	}
	dir := tree(t, map[string]string{"package.json": "{", "node_modules/@capgo/capacitor-updater/package.json": `{"version": "8"}`})
	if _, err := Find(dir, ""); !errors.As(err, new(*UnclearError)) {
		t.Errorf("found %v for what is installed, want an UnclearError", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, ""); err == nil {
		t.Error("found no error for a broken package.json")
	}
	if _, err := Find(dir, "none.json"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v for --package-json, want fs.ErrNotExist", err)
	}
	if err := os.Remove(filepath.Join(dir, "package.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "package.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, ""); err == nil {
		t.Error("found no error for a folder")
	}
}
