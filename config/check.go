package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// maxSocketPath is the room in sockaddr_un.sun_path: 108 bytes with the NUL at
// its end (unix(7)).
const maxSocketPath = 107

var (
	keyName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	groupName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$`)
	logOrigin = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$`)
	uriScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// check reports what is wrong or doubtful about what the fields mean, as far as
// that can be said without looking at any other file.
func check(r *report, c *Config, checkURI func(string) error) {
	if n := len(c.Socket.Path); n > maxSocketPath {
		r.errorf("socket.path", "found a path of %d bytes (%s), want at most %d, which is all that Linux allows for a socket", n, c.Socket.Path, maxSocketPath)
	}
	if c.Socket.Group != "" && !groupName.MatchString(c.Socket.Group) {
		r.errorf("socket.group", "found %s, want the name of a group", quote(c.Socket.Group))
	}
	if r.ok("log") && r.ok("log.origin") {
		if err := checkOrigin(c.Log.Origin); err != nil {
			r.errorf("log.origin", "%v", err)
		}
	}
	checkLogKey(r, c, checkURI)
	checkTokenIssuers(r, c.TokenIssuers)
	byName, byApp := make(map[string]string), make(map[string]string)
	software := false
	for i := range c.Keys {
		path := fmt.Sprintf("keys[%d]", i)
		key := &c.Keys[i]
		checkKeyName(r, path+".name", key.Name, byName)
		checkApps(r, path+".apps", key, byApp)
		checkKeyURI(r, path+".uri", key.URI, checkURI)
		for j, uri := range key.Replicas {
			at := fmt.Sprintf("%s.replicas[%d]", path, j)
			checkKeyURI(r, at, uri, checkURI)
			if first := slices.Index(key.URIs(), uri); first <= j && r.ok(at) {
				r.errorf(at, "found the same place a second time; want another that has the same private key")
			}
		}
		checkCustody(r, path, key, c.AllowSoftwareKeys)
		software = software || key.isSoftware()
	}
	if c.AllowSoftwareKeys && !software && len(c.Keys) > 0 {
		r.warnf("allow_software_keys", "found true, but no key is a file; set it to false so that none becomes one unnoticed")
	}
}

// checkLogKey holds log.uri and log.public_key against each other: one is of no
// use without the other.
func checkLogKey(r *report, c *Config, checkURI func(string) error) {
	if !r.ok("log") || !r.ok("log.uri") || !r.ok("log.public_key") {
		return
	}
	const want = "want the verifier key of the log, one line as \"bundlesignd key create --log\" prints it"
	switch {
	case c.Log.URI == "" && c.Log.PublicKey != "":
		r.errorf("log.public_key", "found a pin without log.uri, want both or neither: the key in a file is its own pin")
	case c.Log.URI == "":
		return
	case strings.HasPrefix(c.Log.URI, fileScheme):
		r.errorf("log.uri", "found a file, which is named by log.key: want the URI of a key in a backend")
	case r.written("log.key"):
		r.errorf("log.key", "found a key in a file beside log.uri, want one of them")
	case c.Log.PublicKey == "":
		r.errorf("log.public_key", "missing beside log.uri, %s", want)
	default:
		checkKeyURI(r, "log.uri", c.Log.URI, checkURI)
		v, err := note.NewVerifier(c.Log.PublicKey)
		if err != nil {
			r.errorf("log.public_key", "found no verifier key (ORIGIN+HASH+KEY), %s", want)
			return
		}
		if v.Name() != c.Log.Origin {
			r.errorf("log.public_key", "found the key of log %s, want that of log.origin, %q", quote(v.Name()), c.Log.Origin)
			return
		}
		c.Log.VerifierKey = c.Log.PublicKey
	}
}

func checkOrigin(origin string) error {
	const want = `want the name of the log like a URL without its scheme, such as "example.com/bundlesign"`
	switch {
	case strings.Contains(origin, "://"):
		return fmt.Errorf("found %s, which has a scheme; %s", quote(origin), want)
	case len(origin) > 255 || !logOrigin.MatchString(origin):
		return fmt.Errorf("found %s, %s (no spaces, no +, at most 255 bytes)", quote(origin), want)
	}
	return nil
}

func checkKeyName(r *report, path, name string, seen map[string]string) {
	if !r.ok(path) {
		return
	}
	if name != "" && !keyName.MatchString(name) {
		r.errorf(path, "found %s, want 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", quote(name))
	}
	if first, dup := seen[name]; dup {
		r.errorf(path, "found %s, which %s has already; names are unique", quote(name), first)
		return
	}
	seen[name] = path
}

func checkApps(r *report, path string, key *Key, seen map[string]string) {
	apps := key.Apps
	for j, app := range apps {
		at := fmt.Sprintf("%s[%d]", path, j)
		if !r.ok(at) {
			continue
		}
		if err := policy.CheckAppID(app); err != nil {
			hint := ""
			if strings.Contains(app, "*") {
				hint = "; a key signs for apps named in full, patterns are for the policy"
			}
			r.errorf(at, "%v%s", err, hint)
			continue
		}
		if slices.Contains(apps[:j], app) {
			r.errorf(at, "found %s, which %s has already; want it once", quote(app), path)
			continue
		}
		if key.OnlyOnRequest {
			continue
		}
		if first, dup := seen[app]; dup {
			r.errorf(at, "found %s, which %s has already; one key signs for an app, and others beside it need only_on_request: true", quote(app), first)
			continue
		}
		seen[app] = at
	}
	if len(apps) > 1 {
		r.warnf(path, "found %d apps; a signature does not say which app it was made for, so what is signed for one is good for all of them: a key of its own for each app is better", len(apps))
	}
}

func checkKeyURI(r *report, path, uri string, checkURI func(string) error) {
	if !r.ok(path) || uri == "" {
		return
	}
	// The URI is not shown: what is wrong with it may be that a PIN is in it.
	if !uriScheme.MatchString(uri) {
		r.errorf(path, `found no scheme in lower case, want a URI that begins with one, such as "pkcs11:" or "file:"`)
		return
	}
	if checkURI == nil {
		return
	}
	if err := checkURI(uri); err != nil {
		r.errorf(path, "%v", err)
	}
}

func checkCustody(r *report, path string, key *Key, allowSoftware bool) {
	custody := path + ".custody"
	switch {
	case !r.ok(path+".uri") || !r.ok(custody):
	case key.isSoftware():
		if !allowSoftware && r.ok("allow_software_keys") {
			r.errorf(path+".uri", "found a private key in a file, which is for development; want a key in an HSM, or allow_software_keys: true")
		}
		if key.Custody != signer.Software {
			found := "found"
			if !r.written(custody) {
				found = "it is left out and so"
			}
			r.errorf(custody, "%s %q, want %q: a private key in a file can never prove more", found, key.Custody, signer.Software)
		}
		if key.MaxSessions != DefaultKey().MaxSessions {
			r.warnf(path+".max_sessions", "has no effect: a file has no sessions")
		}
	case key.Custody == signer.Software:
		r.warnf(custody, "found %q, which accepts a key that its backend gives out; %q is what an HSM should prove", key.Custody, signer.NonExtractable)
	}
}
