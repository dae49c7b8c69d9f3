package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/updater"
)

// signSettings is what bundlesign.yaml can say of the flags of sign, in its order;
// each may come from a variable as well. Who typed where the app's key is wants
// that one and no other.
func signSettings(p *projectSettings, keyTyped bool) []setting {
	var labels []string
	for name, value := range p.Labels {
		labels = append(labels, name+"="+value)
	}
	slices.Sort(labels)
	delta := setting{flag: "delta"}
	if p.Delta {
		delta.values = []string{"true"}
	}
	out := []setting{
		one("app", p.App),
		one("channel", p.Channel),
		one("version", p.Version),
		one("format", p.Format),
		{"label", labels},
		one("output", p.Output),
		one("key", p.Key),
		{"also-key", p.alsoKeys()},
		one("log-key", p.LogKey),
		delta,
		{"no-brotli", p.NoBrotli},
		one("url", p.URL),
		one("api", ""),
		one("token-file", p.TokenFile),
		one("wait", p.Wait),
	}
	if !keyTyped {
		out = append(out, one("public-key", p.PublicKey))
	}
	return out
}

// alsoKeys are those of the file, whose paths are as from its folder.
func (p *projectSettings) alsoKeys() []string {
	out := slices.Clone(p.AlsoKeys)
	for i, text := range out {
		if name, file, ok := strings.Cut(text, "="); ok && !filepath.IsAbs(file) {
			out[i] = name + "=" + filepath.Join(p.dir, file)
		}
	}
	return out
}

// complete finds what neither the command line nor bundlesign.yaml says where the
// official CLI finds it: in capacitor.config and package.json. It returns the path
// of the bundle.
func (s *signing) complete(p *projectSettings, args []string) (path string, err error) {
	f := s.f
	path = s.getenv(variable("bundle"))
	if path == "" {
		path = p.Bundle
	}
	if len(args) > 0 {
		path = args[0]
	}
	asks := f.resume == "" // of a request that was made, app and version are known
	if path == "" || asks && (f.app == "" || f.version == "") {
		c, err := s.capacitorConfig(p.dir)
		if err != nil {
			return "", err
		}
		if asks && f.app == "" {
			if f.app, err = literal(c, updatesID(c), "--app", capconfig.FieldUpdaterAppID, capconfig.FieldAppID); err != nil {
				return "", err
			}
		}
		if asks && f.version == "" {
			if f.version, err = literal(c, c.Version, "--version", capconfig.FieldVersion); err != nil {
				return "", err
			}
		}
		if path == "" {
			if path, err = literal(c, c.WebDir, "the folder", capconfig.FieldWebDir); err != nil {
				return "", err
			}
			if path != "" && !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(c.Path), path)
			}
		}
	}
	if asks && f.version == "" {
		if f.version, err = packageVersion(p.dir); err != nil {
			return "", err
		}
	}
	if f.format == "" {
		if f.format, err = s.formatOfUpdater(p.dir); err != nil {
			return "", err
		}
	}
	if path == "" {
		return "", &inputError{
			err:  errors.New("found no bundle to sign"),
			hint: "name the folder that was built, or its zip: bundlesign sign dist; or set bundle in bundlesign.yaml",
		}
	}
	if f.resume != "" {
		return path, nil
	}
	for _, want := range []struct{ name, value, elsewhere string }{
		{"app", f.app, ", or appId in capacitor.config"},
		{"channel", f.channel, ""},
		{"version", f.version, ", or version in package.json"},
	} {
		if want.value == "" {
			return "", &inputError{
				err:  fmt.Errorf("%s: found nothing", want.name),
				hint: fmt.Sprintf("give --%s or %s, or set %s in bundlesign.yaml%s", want.name, variable(want.name), want.name, want.elsewhere),
			}
		}
	}
	return path, nil
}

// literal is a value of capacitor.config, unless the file computes it: what that
// would give is not guessed.
func literal(c *capconfig.Config, value, say string, fields ...string) (string, error) {
	for _, f := range fields {
		if err := c.Doubt(f); err != nil {
			return "", &inputError{err: err, hint: "say it with " + say + ", or in bundlesign.yaml"}
		}
	}
	return value, nil
}

// capacitorConfig reads that of the project; without one it is empty.
func (s *signing) capacitorConfig(dir string) (*capconfig.Config, error) {
	path, err := capconfig.Find(dir)
	if err != nil {
		return nil, &inputError{err: err}
	}
	if path == "" {
		return &capconfig.Config{}, nil
	}
	c, err := capconfig.Read(path)
	if err != nil {
		return nil, &inputError{err: err, hint: "what it should say can be said with flags or in bundlesign.yaml"}
	}
	return c, nil
}

// packageVersion is the version in the package.json of a folder, or "".
func packageVersion(dir string) (string, error) {
	path := filepath.Join(dir, "package.json")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	data, err := readFile(path)
	if err != nil {
		return "", err
	}
	var p struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return "", &inputError{err: fmt.Errorf("%s: %w", path, err), hint: "or give the version with --version"}
	}
	return p.Version, nil
}

// formatOfUpdater is the form that the project's updater takes, as the official
// CLI chooses it: hex where there is none to be found.
func (s *signing) formatOfUpdater(dir string) (string, error) {
	u, err := updater.Find(dir, "")
	if err != nil {
		return "", &inputError{err: err, hint: "or choose with --format"}
	}
	if u == nil {
		return string(capgo.FormatHex), nil
	}
	if s.f.wantsDelta() && !u.Delta() {
		return "", &inputError{
			err:  fmt.Errorf("the app has @capgo/capacitor-updater %s (%s), which cannot install delta updates", u.Version, u.From),
			hint: "they need 5.10.0, 6.25.0, 7.0.30 or later of these lines",
		}
	}
	format := u.Format()
	if format != capgo.FormatHex {
		s.say("the checksum has the %s form, for @capgo/capacitor-updater %s (%s)", format, u.Version, u.From)
	}
	return string(format), nil
}

// parseLabels reads --label.
func parseLabels(texts []string) (map[string]string, error) {
	var labels map[string]string
	for _, l := range texts {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, &inputError{err: fmt.Errorf("--label: found %q, want name=value", l)}
		}
		if _, dup := labels[k]; dup {
			return nil, &inputError{err: fmt.Errorf("--label: found %q twice, want each name once", k)}
		}
		if labels == nil {
			labels = make(map[string]string)
		}
		labels[k] = v
	}
	return labels, nil
}
