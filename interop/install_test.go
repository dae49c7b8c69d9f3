package interop

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/capgo"
)

// The configurations into which the key is to be installed, as people write them.
var configs = map[string]string{
	"capacitor.config.ts": `import type { CapacitorConfig } from '@capacitor/cli';

const config: CapacitorConfig = {
  appId: 'com.example.interop', // ours
  appName: "interop",
  webDir: 'www',
  plugins: {
    CapacitorUpdater: {
      autoUpdate: !!process.env.CI,
    },
  },
};

export default config;
`,
	"capacitor.config.js":   "module.exports = {\n\tappId: 'com.example.interop',\n\tappName: 'interop',\n\twebDir: 'www'\n}\n",
	"capacitor.config.json": "{\n    \"appId\": \"com.example.interop\",\n    \"appName\": \"interop\",\n    \"webDir\": \"www\",\n    \"plugins\": {}\n}",
}

// With the key that "bundlesign keys install" has put into the configuration, the official CLI, which runs it, accepts
// what the daemon signs. Nothing else of the file has changed.
func TestOfficialCLIReadsTheInstalledKey(t *testing.T) {
	d := startDaemon(t, keyInFile(t))
	keys, code := d.bundlesign(t, "", "keys")
	lines := strings.Split(keys, "\n")
	if code != 0 || len(lines) < 2 {
		t.Fatalf("bundlesign keys: %s", keys)
	}
	key := strings.Fields(lines[1])[0]
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, updaterOf[capgo.FormatHex], nil)
			if err := os.Remove(p.path("capacitor.config.json")); err != nil {
				t.Fatal(err)
			}
			p.write(t, name, []byte(config))
			typescript, err := filepath.Abs("node_modules/typescript")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(typescript, p.path("node_modules/typescript")); err != nil {
				t.Fatal(err)
			}
			if out, code := d.bundlesign(t, p.dir, "keys", "install", key); code != 0 {
				t.Fatalf("bundlesign keys install: %s", out)
			}
			for line := range strings.Lines(config) {
				if line = strings.TrimRight(line, ",\n"); !bytes.Contains(p.read(t, name), []byte(line)) && line != `    "plugins": {}` {
					t.Errorf("the line %q is gone:\n%s", line, p.read(t, name))
				}
			}
			plain := randomBundle(t)
			p.write(t, "app.zip", plain)
			found, err := p.decrypt(t, d.sign(t, p, "app.zip", "1.0.0", capgo.FormatHex))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(found, plain) {
				t.Error("the official CLI decrypted something else")
			}
		})
	}
}
