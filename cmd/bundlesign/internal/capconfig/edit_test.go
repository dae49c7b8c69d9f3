package capconfig

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	testKey   = "-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKC+/8=\n-----END RSA PUBLIC KEY-----\n"
	otherKey  = "-----BEGIN RSA PUBLIC KEY-----\nother\n-----END RSA PUBLIC KEY-----\n"
	inOneLine = `-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKC+/8=\n-----END RSA PUBLIC KEY-----\n`
)

// In these, KEY stands for the key, in one line.
var edits = map[string]struct{ path, before, after string }{
	"replace":             {".ts", "export default { plugins: { CapacitorUpdater: { a: 1, publicKey: 'old' /* x */, } } } // end", "export default { plugins: { CapacitorUpdater: { a: 1, publicKey: 'KEY' /* x */, } } } // end"},
	"replace a template":  {".ts", "export default { plugins: { CapacitorUpdater: { publicKey: `-----\nold\n` as string } } }", "export default { plugins: { CapacitorUpdater: { publicKey: 'KEY' as string } } }"},
	"double quotes":       {".js", `module.exports = { a: "b", plugins: { CapacitorUpdater: { "publicKey": "old" } } }`, `module.exports = { a: "b", plugins: { CapacitorUpdater: { "publicKey": "KEY" } } }`},
	"add to the updater":  {".ts", "export default {\n\tplugins: {\n\t\tCapacitorUpdater: {\n\t\t\tautoUpdate: true, // on\n\t\t\t// last\n\t\t},\n\t},\n}", "export default {\n\tplugins: {\n\t\tCapacitorUpdater: {\n\t\t\tautoUpdate: true, // on\n\t\t\t// last\n\t\t\tpublicKey: 'KEY',\n\t\t},\n\t},\n}"},
	"no comma before":     {".ts", "export default {\n  plugins: {\n    CapacitorUpdater: {\n      autoUpdate: true as const // on\n    }\n  }\n}", "export default {\n  plugins: {\n    CapacitorUpdater: {\n      autoUpdate: true as const, // on\n      publicKey: 'KEY'\n    }\n  }\n}"},
	"add to plugins":      {".ts", "const config: CapacitorConfig = {\n    appId: 'a',\n    plugins: {\n        Other: { x: f(1, 2) },\n    },\n};\nexport default config;\n", "const config: CapacitorConfig = {\n    appId: 'a',\n    plugins: {\n        Other: { x: f(1, 2) },\n        CapacitorUpdater: {\n            publicKey: 'KEY',\n        },\n    },\n};\nexport default config;\n"},
	"add plugins":         {".ts", "export default {\r\n    appId: 'a'\r\n}\r\n", "export default {\r\n    appId: 'a',\r\n    plugins: {\r\n        CapacitorUpdater: {\r\n            publicKey: 'KEY'\r\n        }\r\n    }\r\n}\r\n"},
	"empty":               {".ts", "export default {}", "export default {\n  plugins: {\n    CapacitorUpdater: {\n      publicKey: 'KEY'\n    }\n  }\n}"},
	"empty updater":       {".ts", "export default {\n  plugins: {\n    CapacitorUpdater: {\n    }\n  }\n}", "export default {\n  plugins: {\n    CapacitorUpdater: {\n      publicKey: 'KEY'\n    }\n  }\n}"},
	"only a comment":      {".ts", "export default {\n  plugins: { // none\n  }\n}", "export default {\n  plugins: {\n    CapacitorUpdater: {\n      publicKey: 'KEY'\n    }, // none\n  }\n}"},
	"one line":            {".ts", "export default { appId: 'a', plugins: { A: {} } }", "export default { appId: 'a', plugins: { A: {}, CapacitorUpdater: { publicKey: 'KEY' } } }"},
	"one line, comma":     {".ts", "export default { plugins: { CapacitorUpdater: { a, /* b */ }, }, }", "export default { plugins: { CapacitorUpdater: { a, publicKey: 'KEY', /* b */ }, }, }"},
	"comment before end":  {".ts", "export default { plugins: { CapacitorUpdater: { a: 1 // b\n} } }", "export default { plugins: { CapacitorUpdater: { a: 1, // b\n  publicKey: 'KEY'\n} } }"},
	"json":                {".json", "{\n  \"appId\": \"a\",\n  \"plugins\": {\n    \"CapacitorUpdater\": {\n      \"publicKey\": \"old\",\n      \"x\": 1.0e5\n    }\n  }\n}\n", "{\n  \"appId\": \"a\",\n  \"plugins\": {\n    \"CapacitorUpdater\": {\n      \"publicKey\": \"KEY\",\n      \"x\": 1.0e5\n    }\n  }\n}\n"},
	"json, nothing there": {".json", "{\n\t\"appId\": \"a\"\n}", "{\n\t\"appId\": \"a\",\n\t\"plugins\": {\n\t\t\"CapacitorUpdater\": {\n\t\t\t\"publicKey\": \"KEY\"\n\t\t}\n\t}\n}"},
	"json, one line":      {".json", `{"appId":"a","plugins":{"Z":[1 , 2]}}`, `{"appId":"a","plugins":{"Z":[1 , 2], "CapacitorUpdater": { "publicKey": "KEY" }}}`},
	"json, empty":         {".json", "\ufeff{ }\r\n", "\ufeff{\r\n  \"plugins\": {\r\n    \"CapacitorUpdater\": {\r\n      \"publicKey\": \"KEY\"\r\n    }\r\n  }\r\n}\r\n"},
	"json, empty updater": {".json", "{\n  \"plugins\": {\n    \"CapacitorUpdater\": {}\n  }\n}", "{\n  \"plugins\": {\n    \"CapacitorUpdater\": {\n      \"publicKey\": \"KEY\"\n    }\n  }\n}"},
}

func TestSetPublicKey(t *testing.T) {
	for name, e := range edits {
		path := "capacitor.config" + e.path
		want := strings.ReplaceAll(e.after, "KEY", inOneLine)
		found, err := SetPublicKey(path, []byte(e.before), testKey)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, string(found)); diff != "" {
			t.Errorf("%s (-want +found):\n%s", name, diff)
		}
		c, err := Parse(path, found)
		if err != nil || c.PublicKey != testKey {
			t.Errorf("%s: found %q, %v when it is read again", name, c.PublicKey, err)
		}
		again, err := SetPublicKey(path, found, testKey)
		if err != nil || !bytes.Equal(again, found) {
			t.Errorf("%s: the second edit gave %q, %v", name, again, err)
		}
		// Another key and back.
		other, err := SetPublicKey(path, found, otherKey)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if back, err := SetPublicKey(path, other, testKey); err != nil || !bytes.Equal(back, found) {
			t.Errorf("%s: there and back gave %q, %v", name, back, err)
		}
	}
}

func TestSetPublicKeyRefusesOtherText(t *testing.T) {
	for _, pem := range []string{"", "a'b", "a\"b", "a\\b", "a`b", "a$b", "a\rb", "a\tb", "ä"} {
		if _, err := SetPublicKey("capacitor.config.ts", []byte("export default {}"), pem); err == nil {
			t.Errorf("%q was taken", pem)
		}
	}
}

func TestPropertyIsWhatToPaste(t *testing.T) {
	if found, want := Property("capacitor.config.ts", testKey), "publicKey: '"+inOneLine+"'"; found != want {
		t.Errorf("found %s, want %s", found, want)
	}
	if found, want := Property("capacitor.config.json", testKey), `"publicKey": "`+inOneLine+`"`; found != want {
		t.Errorf("found %s, want %s", found, want)
	}
}

// Whatever is in a file, reading it does not panic; and an edit adds one value, or replaces it, and keeps every other
// byte where it is.
func FuzzSetPublicKey(f *testing.F) {
	for _, e := range edits {
		f.Add(e.path, []byte(e.before))
	}
	f.Add(".ts", []byte("const a = /x[/]/g, config: A<B> = {...b, [c]: `d${`e${1}`}`, get f() {}};\nexport default config satisfies C"))
	f.Add(".js", []byte("module.exports = defineConfig({ plugins: { CapacitorUpdater: ({}) as const } })"))
	f.Fuzz(func(t *testing.T, ext string, src []byte) {
		path := "capacitor.config" + ext
		c, err := Parse(path, src)
		out, editErr := SetPublicKey(path, src, testKey)
		if err != nil {
			if editErr == nil {
				t.Errorf("an edit of what cannot be read: %v", err)
			}
			return
		}
		if editErr != nil {
			return
		}
		if err := c.Doubt(FieldPublicKey); err != nil {
			t.Errorf("edited what is in doubt: %v", err)
		}
		if again, err := SetPublicKey(path, out, testKey); err != nil || !bytes.Equal(again, out) {
			t.Errorf("the second edit gave %q, %v; want %q", again, err, out)
		}
		root, bad := parse(path, src)
		if bad != nil {
			t.Fatal(bad)
		}
		switch n, _ := root.find(publicKeyPath[:]...); {
		case n == nil && !keeps(out, src):
			t.Errorf("%q does not keep %q", out, src)
		case n != nil && c.PublicKey != testKey && !(bytes.HasPrefix(out, src[:n.start]) && bytes.HasSuffix(out, src[n.end:])):
			t.Errorf("%q does not keep %q but for the key", out, src)
		}
	})
}

// keeps reports whether out is src with something added, where white space alone may be replaced.
func keeps(out, src []byte) bool {
	for _, c := range src {
		if strings.ContainsRune(" \t\r\n\v\f", rune(c)) {
			continue
		}
		i := bytes.IndexByte(out, c)
		if i < 0 {
			return false
		}
		out = out[i+1:]
	}
	return true
}
