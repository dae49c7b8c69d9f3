package capconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Capacitor takes .ts before .js before .json.
func TestFindTakesWhatCapacitorTakes(t *testing.T) {
	dir := t.TempDir()
	if found, err := Find(dir); found != "" || err != nil {
		t.Errorf("found %q, %v in an empty folder, want none", found, err)
	}
	for _, ext := range []string{".json", ".js", ".ts"} {
		name := filepath.Join(dir, "capacitor.config"+ext)
		if err := os.WriteFile(name, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		if found, err := Find(dir); found != name || err != nil {
			t.Errorf("found %q, %v, want %q", found, err, name)
		}
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "capacitor.config.json")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("found no error for a folder")
	}
	if _, err := Read(dir + ".none.json"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want fs.ErrNotExist", err)
	}
}

// Each of these is the same configuration.
func TestParseReadsLiterals(t *testing.T) {
	const object = `{
  appId: 'com.acme.shop', // the app
  "webDir": "dist",
  server: { url: /["'{]/.source, cleartext: 1 / 2 > 0, list: [1, 'a', {b: 2}] },
  plugins: {
    'CapacitorUpdater': {
      publicKey: 'KEY\nlines \x41B\u{43}\
D',
      version: ` + "`1.2.3`" + `,
      defaultChannel: ("production" as const),
      other() { return { publicKey: 'no' } }, get x() { return 1 }, async *gen() {}, [1 + 1]: 2,
      privateKey: /* V1 */ 'old',
    } as const,
  },
}`
	for name, src := range map[string]string{
		"export default":           "export default " + object,
		"semicolon":                "export default " + object + ";\n",
		"a variable":               "import type { CapacitorConfig } from '@capacitor/cli';\n\nconst config: CapacitorConfig = " + object + ";\n\nexport default config;\n",
		"a variable, no semicolon": "/// <reference types='x' />\nimport { KeyboardResize } from '@capacitor/keyboard'\nlet config: Partial<Record<string, any>> & { a: 1 } = " + object + "\nexport default config as CapacitorConfig\n",
		"satisfies":                "export default " + object + " satisfies Foo.Bar<string, { a: number }>[] | null\n",
		"a wrapper":                "import { defineConfig } from 'x'\nexport default defineConfig(" + object + ",)",
		"a wrapper of a scope":     "import type { A } from './a'\nimport x, { type B as C, defineAppConfig, } from '@a-b/c.d/e.js'\nexport default defineAppConfig(" + object + ")",
		"in brackets":              "export default (" + object + ")",
		"module.exports":           "#!/usr/bin/env node\n'use strict'\nrequire('dotenv').config()\nmodule.exports = " + object,
		"module.exports, variable": "const config = " + object + "\nmodule.exports = config",
		"export =":                 "const config = " + object + ";\nexport = config;",
		"byte order mark":          "\ufeffexport default " + object,
		"a name that looks alike":  "const other = { config: 1, module: `${1 + 1}${`{`}` }; other.config = 2\nconst config = " + object + "; export default config",
		"windows":                  "export default " + strings.ReplaceAll(object, "\n", "\r\n"),
	} {
		c, err := Parse("capacitor.config.ts", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := *c
		found.Unclear = nil
		// The computed name stands before privateKey alone.
		want := Config{Path: "capacitor.config.ts", AppID: "com.acme.shop", WebDir: "dist", PublicKey: "KEY\nlines ABCD", PrivateKey: "old", Version: "1.2.3", DefaultChannel: "production"}
		if found.Path != want.Path || found.AppID != want.AppID || found.WebDir != want.WebDir || found.PrivateKey != want.PrivateKey {
			t.Errorf("%s: found %+v, want %+v", name, found, want)
		}
		// What stands before [1 + 1] may be replaced by it.
		if err := c.Doubt(FieldPublicKey); err == nil || !strings.Contains(err.Error(), "a computed name") {
			t.Errorf("%s: found %v for the key, want a doubt", name, err)
		}
		c, err = Parse("capacitor.config.ts", []byte(strings.Replace(src, "[1 + 1]: 2", "y: 2", 1)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(c.Unclear) > 0 {
			t.Errorf("%s: found %v, want no doubts", name, c.Unclear)
		}
		if c.PublicKey != want.PublicKey || c.Version != want.Version || c.DefaultChannel != want.DefaultChannel || c.UpdaterAppID != "" {
			t.Errorf("%s: found %+v, want %+v", name, c, want)
		}
	}
}

// A value that only running the program could tell is said to be none.
func TestParseDoesNotGuess(t *testing.T) {
	for src, want := range map[string]string{
		`export default { plugins: { CapacitorUpdater: { publicKey: process.env.KEY } } }`:        "capacitor.config.ts:1:60: plugins.CapacitorUpdater.publicKey: found process.env.KEY, want a plain string literal",
		`export default { plugins: { CapacitorUpdater: { publicKey: process.env.KEY || 'a' } } }`: "an expression that begins with process.env.KEY",
		`export default { plugins: { CapacitorUpdater: { publicKey: 'a' + 'b' } } }`:              "found an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey: 'a'.trim() } } }`:             "found an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey } } }`:                         "the variable publicKey",
		`export default { plugins: { CapacitorUpdater: { get publicKey() { return 'a' } } } }`:    "a method",
		`export default { plugins: { CapacitorUpdater: { publicKey: () => 'a' } } }`:              "found a function",
		`export default { plugins: { CapacitorUpdater: { publicKey: ` + "`${x}`" + ` } } }`:       "a template",
		`export default { plugins: { CapacitorUpdater: { publicKey: null } } }`:                   "found null",
		`export default { plugins: { CapacitorUpdater: { publicKey: '\101' } } }`:                 "found an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey: 'a', publicKey: 'b' } } }`:    "a second publicKey",
		`export default { plugins: { CapacitorUpdater: { publicKey: 'a', ...more } } }`:           "a spread (...), which may have publicKey",
		`export default { plugins: { CapacitorUpdater: { ...more } } }`:                           "a spread (...), which may have publicKey",
		`export default { plugins: { ...more, CapacitorUpdater } }`:                               "the variable CapacitorUpdater as CapacitorUpdater",
		`export default { plugins: { ...more } }`:                                                 "a spread (...), which may have CapacitorUpdater",
		`export default { plugins }`:         "the variable plugins as plugins",
		`export default { ...base }`:         "which may have plugins",
		`export default { __proto__: base }`: "__proto__, which may have plugins",
		`export default { plugins: prod ? { CapacitorUpdater: { publicKey: 'a' } } : {} }`:                 "an expression that begins with prod as plugins",
		`export default { plugins: { CapacitorUpdater: { publicKey: ('a', 'b') } } }`:                      "found an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey: ({a = 1}) => a } } }`:                  "found a function",
		`export default { plugins: { CapacitorUpdater: { publicKey: <string>'a' } } }`:                     "found an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey: 'a'!, } as { x: 1 }["x"] } }`:          "an expression",
		`export default { plugins: { CapacitorUpdater: { publicKey: require('./key') + '/* ' + "*/" } } }`: "an expression that begins with require",
	} {
		c, err := Parse("capacitor.config.ts", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if err := c.Doubt(FieldPublicKey); err == nil || !strings.Contains(err.Error(), want) || c.PublicKey != "" {
			t.Errorf("%s:\nfound %v, key %q; want %q", src, err, c.PublicKey, want)
		}
		if _, err := SetPublicKey("capacitor.config.ts", []byte(src), testKey); !errors.As(err, new(*UnclearError)) {
			t.Errorf("%s: found %v from an edit, want it refused", src, err)
		}
	}
}

// A program whose configuration is not one literal is not read at all.
func TestParseRefusesOtherPrograms(t *testing.T) {
	for src, want := range map[string]string{
		"":                                  ":1:1: found no export default and no module.exports, want the configuration as one object literal",
		"const config = {}":                 "no export default",
		"export default config":             "the variable config, which is not declared here",
		"let config; export default config": "declared without a value",
		"let config = {}; config.plugins = {}; export default config":     "capacitor.config.js:1:18: found the variable config used for something else",
		"let config = {}; x = { config }; export default config":          "used for something else",
		"let config = {}; `${config.plugins = 1}`; export default config": "used for something else",
		"function f() { var config = {} } export default config":          "used for something else",
		"const config = {} as any, b = 1; export default config":          "found an expression",
		"export default {}.x":                      "found an expression",
		"export default {}\n.x":                    "found an expression",
		"export default {}\n(x)":                   "found an expression",
		"export default {} || x":                   "found an expression",
		"export default () => ({})":                "found",
		"export default async () => ({})":          "a function",
		"export default function () { return {} }": "a function",
		"export default class {}":                  "a function",
		"export default make({})":                  "an expression that begins with make",
		"export default defineConfig({}, x)":       "an expression that begins with defineConfig",
		"export default defineConfig(() => ({}))":  "an expression that begins with defineConfig",
		"function defineConfig(x) { return {} } export default defineConfig({})":                ":1:10: found the function defineConfig declared here",
		"export default defineConfig({})\nfunction defineConfig() { return {} }":                ":2:10: found the function defineConfig declared here",
		"let a = 1, defineConfig: any = () => ({}); export default defineConfig({})":            ":1:12: found the function defineConfig",
		"const defineConfig = x => y; export default defineConfig({})":                          "found the function defineConfig",
		"const { defineConfig } = require('./x'); module.exports = defineConfig({})":            "found the function defineConfig",
		"const { x: defineConfig } = y; const c = defineConfig({}); export default c":           "found the function defineConfig",
		"class defineConfig {} export default defineConfig({})":                                 "found the function defineConfig",
		"globalThis.defineConfig = x; export default defineConfig({})":                          "found the function defineConfig",
		"`${defineConfig = x}`; export default defineConfig({})":                                "found the function defineConfig",
		"import { defineConfig } from './x'; export default defineConfig({})":                   "found the function defineConfig",
		"import { a, defineAppConfig } from '../x'; export default defineAppConfig({})":         "found the function defineAppConfig",
		"import defineConfig from '/x'; export default defineConfig({})":                        "found the function defineConfig",
		"import { defineConfig } from '#x'; export default defineConfig({})":                    "found the function defineConfig",
		"import { defineConfig } from '@/x'; export default defineConfig({})":                   "found the function defineConfig",
		"import { defineConfig } from 'x/../../y'; export default defineConfig({})":             "found the function defineConfig",
		"import { defineConfig } from 'data:text/javascript,'; export default defineConfig({})": "found the function defineConfig",
		"import { a as defineConfig } from 'x'; export default defineConfig({})":                "found the function defineConfig",
		"import defineConfig = require('x'); export default defineConfig({})":                   "found the function defineConfig",
		"import { defineConfig } from 'x'; defineConfig = y; export default defineConfig({})":   ":1:35: found the function defineConfig",
		"import a from 'x'\nlet defineConfig, from\nfrom 'x'\nexport default defineConfig({})":  "found the function defineConfig",
		"export default prod ? {} : {}":                                                         "an expression that begins with prod",
		"export default await import('x')":                                                      "begins with await",
		"export default {}; export default {}":                                                  "a second export",
		"module.exports = {}; module.exports = {}":                                              "a second export",
		"module.exports = {}; module.exports.plugins = {}":                                      "module used for something else",
		"module.exports = {}; exports.plugins = {}":                                             "exports used for something else",
		"module.exports = {}; Object.assign(module.exports, x)":                                 "module used for something else",
		"module['exports'] = {}":                          "module used for something else",
		"if (x) { module.exports = {} }":                  "module used for something else",
		"x = module.exports = {}":                         "module used for something else",
		"const config = {}; export { config as default }": "an export list",
		"export default 'x'":                              "found an expression",
	} {
		_, err := Parse("capacitor.config.js", []byte(src))
		if !errors.As(err, new(*UnclearError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nfound %v, want %q", src, err, want)
		}
	}
}

func TestParseNamesThePlaceOfWhatCannotBeRead(t *testing.T) {
	for src, want := range map[string]string{
		"export default { a: 'x }":     ":1:21: found a text without an end",
		"export default { a: 'x\n' }":  ":1:21: found a text that does not end in its line",
		"\n\n /* x":                    ":3:2: found a comment without an end",
		"/x":                           "a regular expression without an end",
		"x = /[/]\n":                   "does not end in its line",
		"`a${`b${c":                    "a template without an end",
		"export default { a: [1, 2 }":  "a bracket that was not opened: }",
		"export default {":             ":1:16: found a bracket that is not closed: {",
		"if (x) /a'/.test(y)":          "a / that is a division or begins",
		"a++ / b":                      "a / that is a division or begins",
		"<!-- x":                       "a comment as in HTML",
		"x\n--> y":                     "a comment as in HTML",
		`export default { \u0061: 1 }`: "a backslash in a name",
		"export default { a 1 }":       "something else than a colon",
		"export default { a: }":        "nothing where a value should be",
		"export default { a: 1 b: 2 ]": "a bracket",
		"export default { , }":         "no name of a property",
		"export default { `a`: 1 }":    "no name of a property",
		"export default { a: '\xff' }": "not UTF-8",
		"export default " + strings.Repeat("{a:", 200) + "1" + strings.Repeat("}", 200): "more than 100 levels",
	} {
		_, err := Parse("capacitor.config.ts", []byte(src))
		if !errors.As(err, new(*SyntaxError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nfound %v, want %q", src, err, want)
		}
	}
	for src, want := range map[string]string{
		"{\n  // no\n}":           "capacitor.config.json:2:3: not valid JSON",
		"{\n  \"a\": 1,\n}":       ":2:9: not valid JSON",
		`{"a": 1, "a": 2}`:        "duplicate",
		`{} x`:                    ":1:4:",
		`{} {}`:                   "found more after the end",
		`[]`:                      "found a list, want an object",
		``:                        "not valid JSON",
		`{"a": "` + "\xff" + `"}`: "not valid JSON",
		`{"ä": 1,, }`:             ":1:9:",
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200): "more than 100 levels",
	} {
		_, err := Parse("capacitor.config.json", []byte(src))
		if !errors.As(err, new(*SyntaxError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nfound %v, want %q", src, err, want)
		}
	}
	if _, err := Parse("capacitor.config.yaml", []byte("{}")); err == nil {
		t.Error("found no error for another language")
	}
}

// Nothing of a value that is not understood is told: it could be a private key.
func TestDoubtsShowNoValues(t *testing.T) {
	c, err := Parse("capacitor.config.ts", []byte(`export default { plugins: { CapacitorUpdater: { privateKey: '-----BEGIN' + 'SECRET', publicKey: key("SECRET") } } }`))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Unclear) != 2 {
		t.Errorf("found %v, want two doubts", c.Unclear)
	}
	for _, u := range c.Unclear {
		if strings.Contains(u.Error(), "SECRET") || strings.Contains(u.Error(), "BEGIN") {
			t.Errorf("%v shows a value", u)
		}
	}
}
