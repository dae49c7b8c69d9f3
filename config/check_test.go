package config

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
)

// key is one entry of keys with the given fields in place of good ones.
func key(name, uri, app, rest string) string {
	return "  - name: " + name + "\n    uri: " + uri + "\n    public_key: k.pub.pem\n    apps: [" + app + "]\n" + rest
}

func TestMeaning(t *testing.T) {
	const log, hsm = "log: {origin: example.com/log}\n", "'pkcs11:object=k'"
	logPin, err := note.NewEd25519VerifierKey("example.com/log", make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"socket path of 107 bytes": {good + "socket: {path: /" + strings.Repeat("x", 106) + "}\n", nil},
		"socket path of 108 bytes": {
			good + "socket: {path: /" + strings.Repeat("x", 107) + "}\n",
			[]string{`config.yaml:7:16: socket.path: found a path of 108 bytes (/` + strings.Repeat("x", 107) + `), want at most 107, which is all that Linux allows for a socket`},
		},
		"socket path too long after resolution": {
			good + "socket: {path: " + strings.Repeat("x", 100) + "}\n",
			[]string{`config.yaml:7:16: socket.path: found a path of 117 bytes (/etc/bundlesignd/` + strings.Repeat("x", 100) + `), want at most 107, which is all that Linux allows for a socket`},
		},
		"group": {good + "socket: {group: 'a:b'}\n", []string{`config.yaml:7:17: socket.group: found "a:b", want the name of a group`}},
		"names": {
			"keys:\n" + key("Acme", hsm, "a.b", "") + key("-x", hsm, "a.c", "") + key("ok", hsm, "a.d", "") + key("ok", hsm, "a.e", "") +
				key(strings.Repeat("k", 64), hsm, "a.f", "") + key(strings.Repeat("k", 63), hsm, "a.g", "") + log,
			[]string{
				`config.yaml:2:11: keys[0].name: found "Acme", want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen`,
				`config.yaml:6:11: keys[1].name: found "-x", want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen`,
				`config.yaml:14:11: keys[3].name: found "ok", which keys[2].name has already; names are unique`,
				`config.yaml:18:11: keys[4].name: found "` + strings.Repeat("k", 60) + `"..., want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen`,
			},
		},
		"apps": {
			"keys:\n" + key("a", hsm, "a.b, a.b", "") + key("b", hsm, `a.b, a/b.c, "a.*"`, "") + key("c", hsm, "", "") + log,
			[]string{
				`config.yaml:5:17: keys[0].apps[1]: found "a.b", which keys[0].apps has already; want it once`,
				`config.yaml:9:12: keys[1].apps[0]: found "a.b", which keys[0].apps[0] has already; one key signs for an app, and others beside it need only_on_request: true`,
				`config.yaml:9:17: keys[1].apps[1]: found "a/b.c", in which '/' is not a letter, digit, dot, hyphen or underscore; want an app id in reverse-DNS form such as com.acme.shop`,
				`config.yaml:9:24: keys[1].apps[2]: found "a.*", in which '*' is not a letter, digit, dot, hyphen or underscore; want an app id in reverse-DNS form such as com.acme.shop; a key signs for apps named in full, patterns are for the policy`,
				`config.yaml:13:11: keys[2].apps: found 0 entries, want 1 to 100`,
				`config.yaml:5:11: warning: keys[0].apps: found 2 apps; a signature does not say which app it was made for, so what is signed for one is good for all of them: a key of its own for each app is better`,
				`config.yaml:9:11: warning: keys[1].apps: found 3 apps; a signature does not say which app it was made for, so what is signed for one is good for all of them: a key of its own for each app is better`,
			},
		},
		"an old and a new key side by side": {
			"keys:\n" + key("old", hsm, "a.b", "") + key("new", "'pkcs11:object=k2'", "a.b", "    only_on_request: true\n") + log, nil,
		},
		"replicas": {
			"keys:\n" + key("a", hsm, "a.b", "    replicas: ['pkcs11:token=2;object=k', 'pkcs11:object=k', 'pkcs11:token=2;object=k', k]\n") + log,
			[]string{
				`config.yaml:6:43: keys[0].replicas[1]: found the same place a second time; want another that has the same private key`,
				`config.yaml:6:62: keys[0].replicas[2]: found the same place a second time; want another that has the same private key`,
				`config.yaml:6:89: keys[0].replicas[3]: found no scheme in lower case, want a URI that begins with one, such as "pkcs11:" or "file:"`,
			},
		},
		"log key in a backend": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, uri: 'pkcs11:object=log', public_key: '" + logPin + "'}\n", nil,
		},
		"log key in a backend without its pin": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, uri: 'pkcs11:object=log'}\n",
			[]string{`config.yaml:6:7: log.public_key: missing beside log.uri, want the verifier key of the log, one line as "bundlesignd key create --log" prints it`},
		},
		"pin of another log": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/other, uri: 'pkcs11:object=log', public_key: '" + logPin + "'}\n",
			[]string{`config.yaml:6:72: log.public_key: found the key of log "example.com/log", want that of log.origin, "example.com/other"`},
		},
		"pin that is none": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, uri: 'pkcs11:object=log', public_key: 'PRIVATE+KEY+x'}\n",
			[]string{`config.yaml:6:70: log.public_key: found no verifier key (ORIGIN+HASH+KEY), want the verifier key of the log, one line as "bundlesignd key create --log" prints it`},
		},
		"pin of a key in a file": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, public_key: '" + logPin + "'}\n",
			[]string{`config.yaml:6:44: log.public_key: found a pin without log.uri, want both or neither: the key in a file is its own pin`},
		},
		"log key in two places": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, key: log.key, uri: 'pkcs11:object=log', public_key: '" + logPin + "'}\n",
			[]string{`config.yaml:6:37: log.key: found a key in a file beside log.uri, want one of them`},
		},
		"log uri of a file": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: example.com/log, uri: 'file:log.key'}\n",
			[]string{`config.yaml:6:37: log.uri: found a file, which is named by log.key: want the URI of a key in a backend`},
		},
		"software keys refused": {
			"keys:\n" + key("a", "file:a.pem", "a.b", "") + key("b", "file:b.pem", "a.c", "    custody: never-extractable\n") + log,
			[]string{
				`config.yaml:2:5: keys[0].custody: it is left out and so "non-extractable", want "software": a private key in a file can never prove more`,
				`config.yaml:3:10: keys[0].uri: found a private key in a file, which is for development; want a key in an HSM, or allow_software_keys: true`,
				`config.yaml:7:10: keys[1].uri: found a private key in a file, which is for development; want a key in an HSM, or allow_software_keys: true`,
				`config.yaml:10:14: keys[1].custody: found "never-extractable", want "software": a private key in a file can never prove more`,
			},
		},
		"software key allowed": {
			"allow_software_keys: true\nkeys:\n" + key("a", "file:a.pem", "a.b", "    custody: software\n    max_sessions: 4\n") + log,
			[]string{`config.yaml:8:19: warning: keys[0].max_sessions: has no effect: a file has no sessions`},
		},
		"weak demand on an HSM, idle permission": {
			"allow_software_keys: true\nkeys:\n" + key("a", hsm, "a.b", "    custody: software\n") + log,
			[]string{
				`config.yaml:1:22: warning: allow_software_keys: found true, but no key is a file; set it to false so that none becomes one unnoticed`,
				`config.yaml:7:14: warning: keys[0].custody: found "software", which accepts a key that its backend gives out; "non-extractable" is what an HSM should prove`,
			},
		},
		"one mistake is said once": {
			"keys:\n" + key("a", "7", "a.b", "    custody: none\n") + "allow_software_keys: 1\n" + log,
			[]string{
				`config.yaml:3:10: keys[0].uri: found a number, want text: put it in quotes`,
				`config.yaml:6:14: keys[0].custody: found "none", want "software", "non-extractable" or "never-extractable"`,
				`config.yaml:7:22: allow_software_keys: found the number 1, want true or false`,
			},
		},
		"URI without scheme": {
			"keys:\n" + key("a", "/etc/key.pem", "a.b", "") + log,
			[]string{`config.yaml:3:10: keys[0].uri: found no scheme in lower case, want a URI that begins with one, such as "pkcs11:" or "file:"`},
		},
		"origin with a scheme": {
			"keys:\n" + key("a", hsm, "a.b", "") + "log: {origin: 'https://example.com/log'}\n",
			[]string{`config.yaml:6:15: log.origin: found "https://example.com/log", which has a scheme; want the name of the log like a URL without its scheme, such as "example.com/bundlesign"`},
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

func TestOrigin(t *testing.T) {
	for _, origin := range []string{"example.com/log", "localhost", "a", "a-b.example:8443/x/y_z~1"} {
		if err := checkOrigin(origin); err != nil {
			t.Errorf("checkOrigin(%q) = %v, want it accepted", origin, err)
		}
	}
	for _, origin := range []string{"", "a b", "a+b", "/a", "a/", "a//b", "-a", "a-", "é.com", "a\n", "http://a", strings.Repeat("a", 256)} {
		if err := checkOrigin(origin); err == nil {
			t.Errorf("checkOrigin(%q) accepts it, want an error", origin)
		}
	}
}

// TestCheckURIGetsAbsolutePaths also holds that what it says is reported.
func TestCheckURIGetsAbsolutePaths(t *testing.T) {
	text := "allow_software_keys: true\nkeys:\n" +
		key("a", "file:a%20b.pem", "a.b", "    custody: software\n") +
		key("b", "file:/abs/b.pem", "a.c", "    custody: software\n") +
		key("c", "file:///abs/c.pem", "a.d", "    custody: software\n") +
		key("d", "'pkcs11:object=d'", "a.e", "") + "log: {origin: a.b}\n"
	var got []string
	r := newReport("config.yaml")
	parse(r, []byte(text), Default(), "/etc/bundle sign", func(uri string) error {
		got = append(got, uri)
		if strings.HasPrefix(uri, "pkcs11:") {
			return errors.New("has no module-path")
		}
		return nil
	})
	want := []string{"file:/etc/bundle%20sign/a%20b.pem", "file:/abs/b.pem", "file:///abs/c.pem", "pkcs11:object=d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{`config.yaml:19:10: keys[3].uri: has no module-path`}, findings(r)); diff != "" {
		t.Errorf("(-want +found)\n%s", diff)
	}
}
