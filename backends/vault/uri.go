package vault

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Scheme is how the URI of a key in Vault begins.
const Scheme = "hashivault:"

// Method is how the daemon shows Vault who it is.
type Method string

// The methods, as auth= names them.
const (
	Token      Method = "token"
	AppRole    Method = "approle"
	Kubernetes Method = "kubernetes"
	JWT        Method = "jwt"
	Cert       Method = "cert"
)

// Defaults of attributes.
const (
	// DefaultTokenCredential is the systemd credential with the token, if nothing
	// says where it is.
	DefaultTokenCredential = "vault-token"
	defaultKubernetesJWT   = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// URI says which key, in which Vault, and how to be let in. It holds no secret.
type URI struct {
	Mount   string // of the transit engine, such as "transit" or "team/transit"
	Key     string
	Version int // from 1; 0 in the URI of a key that is to be made

	Address   string // https://HOST:PORT, or http:// to this machine; "": not given
	Namespace string // Vault Enterprise; "": the root
	CAFile    string // "": the system's certificate authorities

	Auth         Method
	AuthMount    string // below auth/
	TokenFile    File   // token
	RoleID       string // approle; it names the role and is no secret
	SecretIDFile File   // approle
	Wrapped      bool   // approle: the file holds a response-wrapping token for the secret id
	Role         string // kubernetes, jwt; cert: optional
	JWTFile      File   // kubernetes, jwt
	CertFile     File   // cert; with others for a Vault that wants a client certificate
	KeyFile      File

	text string // as given to ParseNewURI
}

// name is how messages call the key.
func (u *URI) name() string {
	if u.Version == 0 {
		return u.Mount + "/" + u.Key
	}
	return fmt.Sprintf("%s/%s version %d", u.Mount, u.Key, u.Version)
}

const (
	wantURI = "want hashivault://MOUNT/KEY?version=N&address=https://HOST:8200, with the method to log in"
	maxURI  = 4096
	maxText = 255
)

// ParseURI reads a URI of the form
//
//	hashivault://MOUNT/KEY?version=N&NAME=VALUE...
//
// Nothing in it is ignored: an attribute that is unknown, given twice, empty, or of no
// use with the others is an error that names it. Errors show no value of an attribute
// that might be a secret in the wrong place.
func ParseURI(s string) (*URI, error) {
	u, err := parseURI(s)
	if err == nil && u.Version == 0 {
		err = errors.New("has no version: add version= and the number of the key version whose public half the apps carry (1 for a key that was never rotated)")
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// ParseNewURI reads the URI of a key that is to be made, or is to get a new version: as
// [ParseURI] does, but without a version, which Vault chooses.
func ParseNewURI(s string) (*URI, error) {
	u, err := parseURI(s)
	if err == nil && u.Version != 0 {
		err = errors.New("has a version: leave it out, Vault gives a new key or version the next number")
	}
	if err != nil {
		return nil, err
	}
	u.text = s
	return u, nil
}

// of returns the URI of a version, as text, if u is from ParseNewURI.
func (u *URI) of(version int) string {
	path, query, _ := strings.Cut(u.text, "?")
	uri := fmt.Sprintf("%s?version=%d", path, version)
	if query != "" {
		uri += "&" + query
	}
	return uri
}

func parseURI(s string) (*URI, error) {
	rest, ok := strings.CutPrefix(s, Scheme+"//")
	if !ok {
		return nil, errors.New("does not begin with hashivault://; " + wantURI)
	}
	if len(s) > maxURI {
		return nil, fmt.Errorf("has %d bytes, want at most %d", len(s), maxURI)
	}
	if strings.Contains(s, "#") {
		return nil, errors.New("has a #, which has no meaning here")
	}
	path, query, _ := strings.Cut(rest, "?")
	u := new(URI)
	if err := u.parsePath(path); err != nil {
		return nil, err
	}
	if err := u.parseQuery(query); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *URI) parsePath(path string) error {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return errors.New("names no key; " + wantURI)
	}
	u.Mount, u.Key = path[:i], path[i+1:]
	if !isPath(u.Mount) {
		return errors.New("has a mount that is not made of letters, digits, \"-\", \"_\", \".\" and \"/\"; " + wantURI)
	}
	if !isSegment(u.Key) {
		return errors.New("has a key name that is not made of letters, digits, \"-\", \"_\" and \".\"; " + wantURI)
	}
	return nil
}

func (u *URI) parseQuery(query string) error {
	seen := map[string]bool{}
	if query == "" {
		return u.complete(seen)
	}
	for i, part := range strings.Split(query, "&") {
		name, raw, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("part %d after the \"?\" is not name=value", i+1)
		}
		if seen[name] {
			return fmt.Errorf("has the attribute %q twice", name)
		}
		if known, _ := new(URI).set(name, ""); !known {
			return unknown(name, i+1)
		}
		seen[name] = true
		value, err := url.PathUnescape(raw)
		if err != nil {
			return fmt.Errorf("attribute %q has a %% that is not followed by two hexadecimal digits", name)
		}
		if value == "" {
			return fmt.Errorf("attribute %q is empty: leave it out or give it a value", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
			return fmt.Errorf("attribute %q has control characters, or is not UTF-8", name)
		}
		if _, err := u.set(name, value); err != nil {
			return fmt.Errorf("attribute %q %w", name, err)
		}
	}
	return u.complete(seen)
}

func unknown(name string, n int) error {
	switch name {
	case "token", "secret-id", "jwt", "password":
		return fmt.Errorf("has the attribute %q: a secret does not belong in a configuration, where it is copied and shown; put it in a file of its own and give %s-file=/PATH, or %s-file=credential:NAME for a systemd credential", name, name, name)
	}
	if isSegment(name) {
		return fmt.Errorf("has the unknown attribute %q; want version, address, namespace, ca-file, auth, auth-mount, token-file, role-id, secret-id-file, wrapped, role, jwt-file, cert-file or key-file", name)
	}
	return fmt.Errorf("part %d after the \"?\" has no valid name", n)
}

// set takes one attribute. It is not known if there is none of this name.
func (u *URI) set(name, value string) (known bool, err error) {
	switch name {
	case "version":
		return true, parseVersion(&u.Version, value)
	case "address":
		u.Address = strings.TrimSuffix(value, "/")
		return true, CheckAddress(value)
	case "namespace":
		return true, parsePath(&u.Namespace, value)
	case "ca-file":
		return true, absolute(&u.CAFile, value)
	case "auth":
		return true, parseMethod(&u.Auth, value)
	case "auth-mount":
		return true, parsePath(&u.AuthMount, value)
	case "token-file":
		return true, u.TokenFile.parse(value)
	case "role-id":
		return true, parseText(&u.RoleID, value)
	case "secret-id-file":
		return true, u.SecretIDFile.parse(value)
	case "wrapped":
		return true, parseBool(&u.Wrapped, value)
	case "role":
		return true, parseText(&u.Role, value)
	case "jwt-file":
		return true, u.JWTFile.parse(value)
	case "cert-file":
		return true, u.CertFile.parse(value)
	case "key-file":
		return true, u.KeyFile.parse(value)
	}
	return false, nil
}

// needs returns the attributes that go with a method, or nothing for one that there
// is not.
func needs(m Method) (must, may []string, known bool) {
	switch m {
	case Token:
		return nil, []string{"token-file"}, true
	case AppRole:
		return []string{"role-id", "secret-id-file"}, []string{"auth-mount", "wrapped"}, true
	case Kubernetes:
		return []string{"role"}, []string{"auth-mount", "jwt-file"}, true
	case JWT:
		return []string{"role", "jwt-file"}, []string{"auth-mount"}, true
	case Cert:
		return []string{"cert-file", "key-file"}, []string{"auth-mount", "role"}, true
	}
	return nil, nil, false
}

// complete checks that what was given goes together, and fills in defaults.
func (u *URI) complete(seen map[string]bool) error {
	if u.Auth == "" {
		u.Auth = Token
	}
	allowed := map[string]bool{
		"version": true, "address": true, "namespace": true, "ca-file": true, "auth": true,
		"cert-file": true, "key-file": true,
	}
	must, may, _ := needs(u.Auth)
	for _, name := range may {
		allowed[name] = true
	}
	for _, name := range must {
		allowed[name] = true
		if !seen[name] {
			return fmt.Errorf("has no %s, which auth=%s needs", name, u.Auth)
		}
	}
	for name := range seen {
		if !allowed[name] {
			return fmt.Errorf("has %s, which has no meaning with auth=%s", name, u.Auth)
		}
	}
	if seen["cert-file"] != seen["key-file"] {
		return errors.New("has only one of cert-file and key-file, want both or none")
	}
	if u.Auth == Token && u.TokenFile.IsZero() {
		u.TokenFile.Credential = DefaultTokenCredential
	}
	if u.Auth == Kubernetes && u.JWTFile.IsZero() {
		u.JWTFile.Path = defaultKubernetesJWT
	}
	if u.Auth != Token && u.AuthMount == "" {
		u.AuthMount = string(u.Auth)
	}
	return nil
}

// CheckAddress reports what is wrong with the address of a Vault. Without TLS it
// must be on this machine, as a Vault Agent is.
func CheckAddress(address string) error {
	const want = "want https://HOST:PORT and nothing after it"
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("is not a valid URL; " + want)
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "":
		return errors.New("has a part that does not belong there; " + want)
	case u.Path != "" && u.Path != "/":
		return errors.New("has a path; " + want)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("is http to another machine, which anybody on the way can read; want https://HOST:PORT")
	}
	return errors.New("has another scheme; " + want)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func parseVersion(dst *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || strconv.Itoa(n) != value {
		return errors.New("is not a version number: want 1, 2 and so on")
	}
	*dst = n
	return nil
}

func parseMethod(dst *Method, value string) error {
	if _, _, known := needs(Method(value)); !known {
		return errors.New("is not a method known here: want token, approle, kubernetes, jwt or cert")
	}
	*dst = Method(value)
	return nil
}

func parseBool(dst *bool, value string) error {
	if value != "true" && value != "false" {
		return errors.New("is not true or false")
	}
	*dst = value == "true"
	return nil
}

func parsePath(dst *string, value string) error {
	value = strings.Trim(value, "/")
	if !isPath(value) {
		return errors.New("is not a path in Vault: want names of letters, digits, \"-\", \"_\" and \".\" with \"/\" between them")
	}
	*dst = value
	return nil
}

func parseText(dst *string, value string) error {
	if len(value) > maxText {
		return fmt.Errorf("has %d bytes, want at most %d", len(value), maxText)
	}
	*dst = value
	return nil
}

// isPath reports whether s can be in a path of Vault's API as it is.
func isPath(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if !isSegment(segment) {
			return false
		}
	}
	return true
}

func isSegment(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxText {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.", c) >= 0) {
			return false
		}
	}
	return true
}
