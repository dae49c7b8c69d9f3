package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap/zapcore"

	"github.com/bundlesign/bundlesign/signer"
)

// parsed is what parse makes of a text: the configuration and all findings, in
// the order of the lines.
func parsed(text string) (*Config, []string) {
	c := Default()
	r := newReport("config.yaml")
	parse(r, []byte(text), c, "/etc/bundlesignd", nil)
	return c, findings(r)
}

func findings(r *report) []string {
	r.sorted()
	var lines []string
	for _, e := range r.errs {
		lines = append(lines, e.Error())
	}
	for _, w := range r.warnings {
		lines = append(lines, w.String())
	}
	return lines
}

// ignorePins: a public key that is not loaded is not equal to itself.
var ignorePins = cmpopts.IgnoreFields(Key{}, "PublicKey")

const good = `keys:
  - name: acme-shop
    uri: "pkcs11:object=acme-shop?module-path=/usr/lib/hsm.so"
    public_key: acme-shop.pub.pem
    apps: [com.acme.shop]
log: {origin: example.com/log}
`

func TestDefaultsAndResolution(t *testing.T) {
	c, found := parsed(good)
	if len(found) > 0 {
		t.Fatalf("found %q, want nothing wrong", found)
	}
	want := Default()
	want.PolicyPath = "/etc/bundlesignd/policy.yaml"
	want.Log = Log{Origin: "example.com/log", KeyPath: "/etc/bundlesignd/log.key", Timeout: 10 * time.Second}
	want.Keys = []Key{{
		Name: "acme-shop", URI: "pkcs11:object=acme-shop?module-path=/usr/lib/hsm.so",
		PublicKeyPath: "/etc/bundlesignd/acme-shop.pub.pem", Apps: []string{"com.acme.shop"},
		Custody: signer.NonExtractable, MaxSessions: 8, Timeout: 10 * time.Second,
	}}
	if diff := cmp.Diff(want, c, ignorePins); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	c, found := parsed(`
state_dir: ../state
socket: {path: run/s, mode: "0600", group: ci}
policy: p/policy.yaml
allow_software_keys: true
keys:
- name: k
  uri: file:k.pem
  public_key: /abs/k.pub
  replicas: ["file:spare/k.pem", "pkcs11:token=b;object=k"]
  apps:
  - a.b
  only_on_request: true
  custody: software
  timeout: 1m30s
log:
  origin: localhost:8080/a/b
  key: keys/log.key
limits:
  body_bytes: 65536
  files: 1
  requests_per_second: 2
  burst: 3
  connections: 4
  queue: 5
  pending: 6
  signing_timeout: 24h
logging:
  level: debug
`)
	if len(found) > 0 {
		t.Fatalf("found %q, want nothing wrong", found)
	}
	want := &Config{
		StateDir:   "/etc/state",
		Socket:     Socket{Path: "/etc/bundlesignd/run/s", Mode: 0o600, Group: "ci"},
		PolicyPath: "/etc/bundlesignd/p/policy.yaml", AllowSoftwareKeys: true,
		Keys: []Key{{
			Name: "k", URI: "file:/etc/bundlesignd/k.pem", PublicKeyPath: "/abs/k.pub", Apps: []string{"a.b"},
			Replicas: []string{"file:/etc/bundlesignd/spare/k.pem", "pkcs11:token=b;object=k"}, OnlyOnRequest: true,
			Custody: signer.Software, MaxSessions: 8, Timeout: 90 * time.Second,
		}},
		Log: Log{Origin: "localhost:8080/a/b", KeyPath: "/etc/bundlesignd/keys/log.key", Timeout: 10 * time.Second},
		Limits: Limits{
			BodyBytes: 64 * KiB, Files: 1, RequestsPerSecond: 2, Burst: 3,
			Connections: 4, Queue: 5, Pending: 6, SigningTimeout: 24 * time.Hour,
		},
		Logging: Logging{Level: zapcore.DebugLevel},
	}
	if diff := cmp.Diff(want, c, ignorePins); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestFaults holds every kind of fault of form against the exact message, with
// its place.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown and misspelled": {
			good + "stat_dir: /x\nSocket: {}\nsession-timeout: 1s\nmax_sessions: 3\nzzz: 1\n\"a: b\": 1\n",
			[]string{
				`config.yaml:7:1: stat_dir: unknown field; did you mean state_dir?`,
				`config.yaml:8:1: Socket: unknown field; did you mean socket?`,
				`config.yaml:9:1: session-timeout: unknown field; the fields here are state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
				`config.yaml:10:1: max_sessions: unknown field; did you mean keys[].max_sessions?`,
				`config.yaml:11:1: zzz: unknown field; the fields here are state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
				`config.yaml:12:1: "a: b": unknown field; the fields here are state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
			},
		},
		"twice": {
			good + "policy: a\npolicy: b\nlogging:\n  level: info\n  level: debug\n",
			[]string{
				`config.yaml:8:1: policy: found a second time, the first is in line 7; want it once`,
				`config.yaml:11:3: logging.level: found a second time, the first is in line 10; want it once`,
			},
		},
		"missing": {
			"keys:\n  - apps: [a.b]\n  - {}\nlog:\n  key: x\n",
			[]string{
				`config.yaml:2:5: keys[0].name: missing, want text that is not empty`,
				`config.yaml:2:5: keys[0].uri: missing, want the URI of a key`,
				`config.yaml:2:5: keys[0].public_key: missing, want a path`,
				`config.yaml:3:5: keys[1].name: missing, want text that is not empty`,
				`config.yaml:3:5: keys[1].uri: missing, want the URI of a key`,
				`config.yaml:3:5: keys[1].public_key: missing, want a path`,
				`config.yaml:3:5: keys[1].apps: missing, want a list of texts, 1 to 100`,
				`config.yaml:5:3: log.origin: missing, want text that is not empty`,
			},
		},
		"empty sections": {
			"socket:\nlimits: {}\nkeys: []\nlog:\n",
			[]string{
				`config.yaml:1:1: socket: found nothing, want fields (path, mode, group)`,
				`config.yaml:3:7: keys: found 0 entries, want 1 to 256`,
				`config.yaml:4:1: log: found nothing, want fields (origin, key, uri, public_key, timeout)`,
			},
		},
		"wrong types": {
			strings.Join([]string{
				"state_dir: [a]", "socket: /run/x", "policy: {}", "allow_software_keys: yes", "keys: {name: x}",
				"log: [a, b]", "limits:", "  files: lots", "  burst: 1.5", "  queue: \"7\"", "  connections: 0x10",
				"  body_bytes: true", "  signing_timeout: 900", "logging:", "  level: [info]", "",
			}, "\n"),
			[]string{
				`config.yaml:1:12: state_dir: found a list, want a path`,
				`config.yaml:2:9: socket: found "/run/x", want fields (path, mode, group)`,
				`config.yaml:3:9: policy: found fields, want a path`,
				`config.yaml:4:22: allow_software_keys: found "yes", want true or false`,
				`config.yaml:5:7: keys: found fields, want a list of fields (name, uri, public_key, replicas, apps, only_on_request, custody, max_sessions, timeout), 1 to 256`,
				`config.yaml:6:6: log: found a list, want fields (origin, key, uri, public_key, timeout)`,
				`config.yaml:8:10: limits.files: found "lots", want an integer from 1 to 100000`,
				`config.yaml:9:10: limits.burst: found the number 1.5, want an integer from 1 to 100000`,
				`config.yaml:10:10: limits.queue: found "7", want an integer from 1 to 100000`,
				`config.yaml:11:16: limits.connections: found the number 0x10, want an integer from 1 to 10000`,
				`config.yaml:12:15: limits.body_bytes: found true, want a size in bytes from 1KiB to 64MiB`,
				`config.yaml:13:20: limits.signing_timeout: found 900, want a duration with its unit, such as 900s`,
				`config.yaml:15:10: logging.level: found a list, want "debug", "info", "warn" or "error"`,
			},
		},
		"wrong types in a key": {
			"keys:\n  - name: 12\n    uri: 34\n    public_key: true\n    apps: com.acme.shop\n    custody:\n  - text\nlog: {origin: \"\"}\n",
			[]string{
				`config.yaml:2:11: keys[0].name: found the number 12, want text: put it in quotes`,
				`config.yaml:3:10: keys[0].uri: found a number, want text: put it in quotes`,
				`config.yaml:4:17: keys[0].public_key: found true, want text: put it in quotes`,
				`config.yaml:5:11: keys[0].apps: found "com.acme.shop", want a list of texts, 1 to 100; one value is a list too: [value]`,
				`config.yaml:6:5: keys[0].custody: found nothing, want "software", "non-extractable" or "never-extractable"`,
				`config.yaml:7:5: keys[1]: found "text", want fields (name, uri, public_key, replicas, apps, only_on_request, custody, max_sessions, timeout)`,
				`config.yaml:8:15: log.origin: found "", want text that is not empty`,
			},
		},
		"out of range": {
			good + "limits:\n  files: 0\n  burst: 100001\n  body_bytes: 65MiB\n  queue: -1\n  signing_timeout: 25h\nlogging: {level: INFO}\nsocket: {mode: \"0888\", path: \"\"}\n",
			[]string{
				`config.yaml:8:10: limits.files: found the number 0, want an integer from 1 to 100000`,
				`config.yaml:9:10: limits.burst: found the number 100001, want an integer from 1 to 100000`,
				`config.yaml:10:15: limits.body_bytes: found "65MiB", want a size in bytes from 1KiB to 64MiB`,
				`config.yaml:11:10: limits.queue: found the number -1, want an integer from 1 to 100000`,
				`config.yaml:12:20: limits.signing_timeout: found "25h", want a duration from 1s to 24h`,
				`config.yaml:13:18: logging.level: found "INFO", want "debug", "info", "warn" or "error"`,
				`config.yaml:14:16: socket.mode: found "0888", want four octal digits such as "0660"`,
				`config.yaml:14:30: socket.path: found "", want a path`,
			},
		},
		"sizes": {
			good + "limits: {body_bytes: 8MB}\n",
			[]string{`config.yaml:7:22: limits.body_bytes: found "8MB", want a number of bytes, or one with KiB or MiB, such as 8MiB`},
		},
		"not printable": {
			good + "socket:\n  group: \"a\\u202eb\"\n  path: |\n    /x\npolicy: \"\\ufffd\"\n",
			[]string{
				`config.yaml:8:10: socket.group: found text with a character that cannot be printed (U+202E at byte 1), want plain text`,
				`config.yaml:9:9: socket.path: found text with a line break, want one line`,
				`config.yaml:11:9: policy: found text with a character that cannot be printed (U+FFFD at byte 0), want plain text`,
			},
		},
		"columns count characters": {
			good + "socket: {group: \"é\", mode: é}\n",
			[]string{
				`config.yaml:7:17: socket.group: found "é", want the name of a group`,
				`config.yaml:7:28: socket.mode: found "é", want four octal digits such as "0660"`,
			},
		},
		"carriage returns": {
			strings.ReplaceAll(good+"polcy: x\n", "\n", "\r\n"),
			[]string{`config.yaml:7:1: polcy: unknown field; did you mean policy?`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := parsed(c.text)
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
		})
	}
}

// TestRefusedYAML holds what of YAML is refused against the messages.
func TestRefusedYAML(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"anchor, alias, merge key": {
			"policy: &p x\nsocket: &s {group: *p}\nlimits:\n  <<: *s\nlog: {origin: a.b}\nkees: *p\n",
			[]string{
				`config.yaml:1:9: found an anchor (&), want the value itself in each place; a text that begins with & goes in quotes`,
				`config.yaml:2:9: found an anchor (&), want the value itself in each place; a text that begins with & goes in quotes`,
				`config.yaml:2:20: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as "*.shop"`,
				`config.yaml:4:3: found a merge key (<<), want the fields themselves`,
				`config.yaml:4:7: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as "*.shop"`,
				`config.yaml:6:1: kees: unknown field; did you mean keys?`,
				`config.yaml:6:7: found an alias (*), want the value itself; a pattern that begins with * goes in quotes, such as "*.shop"`,
			},
		},
		"tag":              {good + "policy: !!str x\n", []string{`config.yaml:7:9: found a tag (!!str), want the plain value; a text that begins with ! goes in quotes`}},
		"directive":        {"%YAML 1.2\n---\n" + good, []string{`config.yaml:1:1: found a directive (%), want none`}},
		"second document":  {good + "---\npolicy: x\n", []string{`config.yaml:7:1: found a second document (---), want one`}},
		"after the end":    {good + "...\npolicy: x\n", []string{`config.yaml:8:1: found a second document, want one`}},
		"empty":            {"", []string{`config.yaml:1:1: found nothing but comments, want fields such as those that "bundlesignd init" writes`}},
		"only comments":    {"# a\n\n# b\n", []string{`config.yaml:1:1: found nothing but comments, want fields such as those that "bundlesignd init" writes`}},
		"a list":           {"- a\n", []string{`config.yaml:1:1: found a list, want fields (state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging)`}},
		"a text":           {"hello\n", []string{`config.yaml:1:1: found "hello", want fields (state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging)`}},
		"not UTF-8":        {"policy: \xe4\n", []string{`config.yaml:1:9: found the byte 0xe4, which is not UTF-8; want a text file in UTF-8`}},
		"byte order mark":  {"\ufeffpolicy: x\n", []string{`config.yaml:1:1: found a byte order mark (U+FEFF), want UTF-8 without one`}},
		"NUL":              {"policy: x\n# \x00\n", []string{`config.yaml:2:3: found the control character U+0000, want plain text`}},
		"bare CR":          {"policy: x\ra: b\n", []string{`config.yaml:1:10: found the control character U+000D, want plain text`}},
		"tab":              {"socket:\n\tmode: x\n", []string{"config.yaml:2:1: not valid YAML: found character '\t' that cannot start any token"}},
		"unclosed bracket": {"policy: x\nkeys: [\n", []string{`config.yaml:2:7: not valid YAML: sequence end token ']' not found`}},
		"unclosed quote":   {"policy: x\nlog: 'a\n", []string{`config.yaml:2:6: not valid YAML: could not find end character of single-quoted text`}},
		"indentation":      {"socket:\n  mode: x\n path: y\n", []string{`config.yaml:3:2: not valid YAML: value is not allowed in this context`}},
		"deep brackets":    {"keys: " + strings.Repeat("[", 100000), []string{`config.yaml:1:27: found more than 20 levels of nesting; no field has that many`}},
		"deep dashes":      {strings.Repeat("- ", 100000), []string{`config.yaml:1:41: found more than 20 levels of nesting; no field has that many`}},
		"many fields":      {strings.Repeat("a: 1\n", 100000), []string{`config.yaml:20001:2: found more than 20000 fields in one file, want fewer`}},
		"list as a name":   {good + "[e]: f\n", []string{`config.yaml:7:4: not valid YAML: found an invalid key for this map`}},
		"odd names": {good + "1: a\ntrue: b\n? c\n: d\n", []string{
			`config.yaml:7:1: found the number 1 as the name of a field, want one of state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
			`config.yaml:8:1: found true as the name of a field, want one of state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
			`config.yaml:9:1: found something else as the name of a field, want one of state_dir, socket, policy, allow_software_keys, keys, token_issuers, log, limits, logging`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := parsed(c.text)
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("(-want +found)\n%s", diff)
			}
		})
	}
}

func TestOneDocumentMayBeMarked(t *testing.T) {
	if _, found := parsed("# a comment\n---\n" + good + "...\n# the end\n"); len(found) > 0 {
		t.Errorf("found %q, want nothing wrong", found)
	}
}

// TestNoValueOfAURIIsShown: what is wrong with it may be that a PIN is in it.
func TestNoValueOfAURIIsShown(t *testing.T) {
	for _, uri := range []string{`"no scheme hunter2"`, `[hunter2]`, `{pin: hunter2}`, `"pkcs11:a=hunter2\n"`, `'pkcs11:pin-value=hunter2'`, `hunter2: x`} {
		text := strings.Replace(good, `"pkcs11:object=acme-shop?module-path=/usr/lib/hsm.so"`, uri, 1)
		r := newReport("config.yaml")
		parse(r, []byte(text), Default(), "/", func(string) error { return errors.New("refused") })
		if len(r.errs) == 0 || strings.Contains(r.errs.Error(), "hunter2") {
			t.Errorf("uri: %s: found %q, want an error that does not show it", uri, r.errs)
		}
	}
}

func TestErrorsAreErrors(t *testing.T) {
	r := newReport("f")
	r.errorAt(place{3, 4}, "a.b", "found %d", 1)
	err := r.errs.err()
	var one *Error
	if !errors.As(err, &one) || one.Line != 3 || one.Column != 4 || one.Field != "a.b" || one.File != "f" {
		t.Errorf("errors.As finds %+v in %v, want the fault at 3:4", one, err)
	}
	if err := newReport("f").errs.err(); err != nil {
		t.Errorf("a report without faults is the error %v, want nil", err)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{"0": 0, "1": 1, "1KiB": KiB, "1025": 1025, "8MiB": 8 * MiB, "1025KiB": 1025 * KiB} {
		got, err := parseByteSize(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("parseByteSize(%q) = %d, %v and prints as %q, want %d", text, got, err, got, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "+1", "1.5MiB", "01", "1 MiB", "1GiB", "1mib", "99999999999999999MiB", "1_000"} {
		if got, err := parseByteSize(text); err == nil {
			t.Errorf("parseByteSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestRenderQuotesWhatMustBe(t *testing.T) {
	for text, want := range map[string]string{
		"abc": "abc", "/run/x.sock": "/run/x.sock", "": `""`, "yes": `"yes"`, "Null": `"Null"`, "12": `"12"`, "*": `"*"`, "a: b": `"a: b"`,
		`a"b\c`: `"a\"b\\c"`, "é": `"é"`, "# a": `"# a"`, "a\nb": `"a\U0000000ab"`, "- a": `"- a"`, "~": `"~"`,
	} {
		if got := yamlText(text); got != want {
			t.Errorf("yamlText(%q) = %s, want %s", text, got, want)
		}
	}
}

// TestSamplesAreGood reads back the samples that are rendered with comments.
func TestSamplesAreGood(t *testing.T) {
	data, err := os.ReadFile("testdata/sample/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, rules := samples()
	got := Default()
	r := newReport("config.yaml")
	if decode(r, data, got); len(findings(r)) > 0 {
		t.Fatalf("found %q, want nothing wrong", findings(r))
	}
	if diff := cmp.Diff(want, got, ignorePins); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if data, err = os.ReadFile("testdata/sample/policy.yaml"); err != nil {
		t.Fatal(err)
	}
	var policies PolicyFile
	r = newReport("policy.yaml")
	if decode(r, data, &policies); len(findings(r)) > 0 {
		t.Fatalf("found %q, want nothing wrong", findings(r))
	}
	if diff := cmp.Diff(rules, &policies); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
