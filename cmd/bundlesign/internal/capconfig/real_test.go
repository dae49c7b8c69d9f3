package capconfig

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Configurations as people write them.
var programs = map[string]struct{ path, src string }{
	"typical": {".ts", `/// <reference types="@capacitor/splash-screen" />
import type { CapacitorConfig } from '@capacitor/cli';
import { KeyboardResize } from '@capacitor/keyboard';

const dev = process.env.NODE_ENV === 'development'; // don't ask
const urls = ["https://a.example/?q='", ` + "`http://${dev ? 'localhost' : `b`}`" + `];
const ratio = urls.length / 2 / 1, pattern = /["'/]\/[/'"]/g;

const config: CapacitorConfig = {
  appId: 'com.acme.shop',
  appName: "Acme's \"Shop\"",
  webDir: 'dist',
  ...(dev ? { server: { url: urls[0], cleartext: true } } : {}),
  plugins: {
    SplashScreen: { launchShowDuration: 3e3, backgroundColor: '#fff', },
    CapacitorUpdater: {
      autoUpdate: !dev, ratio, [pattern.source]: 1,
      "publicKey": '-----BEGIN RSA PUBLIC KEY-----\nold\n-----END RSA PUBLIC KEY-----\n',
      defaultChannel: 'production',
      version: '1.2.3',
    },
  } as any,
};

export default config satisfies CapacitorConfig;
`},
	"commonjs":    {".js", "#!/usr/bin/env node\n'use strict'\nconst path = require('node:path')\n/** @type {import('@capacitor/cli').CapacitorConfig} */\nconst config = {\n\tappId: 'com.acme.shop',\n\twebDir: path.join('www', 'x'),\n\tplugins: {},\n}\n\nmodule.exports = config\n"},
	"wrapper":     {".ts", "export default defineConfig({ appId: 'x', plugins: { CapacitorUpdater: { publicKey: `two\r\nlines\\u{41}\\\n` } } })\n"},
	"export =":    {".ts", "const c = { appId: `x`, 'plugins': { 'CapacitorUpdater': { privateKey: '\\x41\\u0042\\\r\nC' } } }\nexport = c"},
	"asi":         {".js", "module.exports = { appId: 'a' }\nvar unrelated = 1\n"},
	"parentheses": {".js", "module.exports = ({ appId: ('a'), plugins: ({ CapacitorUpdater: {} }) });"},
}

// What the text of a configuration says is what Node.js gets by running it; after an edit it is the same but for the
// key. Capacitor runs them so.
func TestRealConfigurations(t *testing.T) {
	dir := t.TempDir()
	type pair struct {
		read *Config
		path [2]string // before and after the edit
	}
	samples := maps.Clone(programs)
	for name, e := range edits {
		samples[name] = struct{ path, src string }{e.path, e.before}
	}
	var pairs []pair
	var files []string
	names := slices.Sorted(maps.Keys(samples))
	for _, name := range names {
		s := samples[name]
		c, err := Parse("capacitor.config"+s.path, []byte(s.src))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		edited, err := SetPublicKey("capacitor.config"+s.path, []byte(s.src), testKey)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := pair{read: c}
		for i, src := range [][]byte{[]byte(s.src), edited} {
			p.path[i] = filepath.Join(dir, name+[]string{"-before", "-after"}[i], "capacitor.config"+s.path)
			if err := os.Mkdir(filepath.Dir(p.path[i]), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.path[i], src, 0o644); err != nil {
				t.Fatal(err)
			}
			files = append(files, p.path[i])
		}
		pairs = append(pairs, p)
	}

	loaded := load(t, files)
	for i, p := range pairs {
		before, after := loaded[2*i], loaded[2*i+1]
		for field, found := range map[string]string{
			FieldAppID: p.read.AppID, FieldPublicKey: p.read.PublicKey, FieldPrivateKey: p.read.PrivateKey, FieldVersion: p.read.Version, FieldDefaultChannel: p.read.DefaultChannel,
		} {
			if want := at(before, field); p.read.Doubt(field) == nil && found != want {
				t.Errorf("%s: %s: found %q, Node.js has %q", p.path[0], field, found, want)
			}
		}
		if found := at(after, FieldPublicKey); found != testKey {
			t.Errorf("%s: Node.js has the key %q", p.path[1], found)
		}
		plugins, _ := before["plugins"].(map[string]any)
		if plugins == nil {
			plugins = make(map[string]any)
			before["plugins"] = plugins
		}
		updater, _ := plugins["CapacitorUpdater"].(map[string]any)
		if updater == nil {
			updater = make(map[string]any)
			plugins["CapacitorUpdater"] = updater
		}
		updater["publicKey"] = testKey
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: more has changed than the key (-want +found):\n%s", p.path[1], diff)
		}
	}
}

// at is the text at a path.
func at(config map[string]any, field string) string {
	path := pathOf(field)
	for _, name := range path[:len(path)-1] {
		config, _ = config[name].(map[string]any)
	}
	s, _ := config[path[len(path)-1]].(string)
	return s
}

func load(t *testing.T, files []string) []map[string]any {
	t.Helper()
	typescript, err := filepath.Abs("../../../../interop/node_modules/typescript")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(typescript); err != nil {
		t.Fatalf("found no TypeScript: %v; run scripts/install-deps", err)
	}
	cmd := exec.Command("node", append([]string{"testdata/load.cjs", typescript}, files...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Node.js (scripts/install-deps has it installed): %v", err)
	}
	var loaded []map[string]any
	if err := json.Unmarshal(out, &loaded); err != nil {
		t.Fatal(err)
	}
	return loaded
}
