package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// sshScheme begins the address of a daemon on another machine.
const sshScheme = "ssh://"

// sshTarget is an address ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET].
type sshTarget struct {
	user, host, port string // "": as ssh is configured
	path             string // of the socket there; "": what bundlesign takes there
}

// What the parts may be. An address can come from a file in somebody's repository,
// and its parts get to ssh's command line, into commands of the user's ssh
// configuration (ProxyCommand and Match exec put host and user before a shell:
// CVE-2023-51385) and, the path, before the shell there. So they are named by what
// is known to be harmless in all of them.
var (
	sshUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$`)
	sshHost = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$`)
	sshPath = regexp.MustCompile(`^/[A-Za-z0-9_./,:@+-]*$`)
)

// parseSSH reads an address. Its errors do not show the address, which may have a
// password in it.
func parseSSH(address string) (*sshTarget, error) {
	if strings.ContainsAny(address, "?#%") {
		return nil, errors.New(`found "?", "#" or "%", want none`)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("found what is no URL")
	}
	t := &sshTarget{host: u.Hostname(), port: u.Port(), path: u.Path}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return nil, errors.New("found a password: everybody here can read it; use a key and an ssh-agent")
		}
		t.user = u.User.Username()
		if !sshUser.MatchString(t.user) {
			return nil, fmt.Errorf("user: found %s, want letters, digits and . _ @ + -, the first a letter, digit or _", quote(t.user))
		}
	}
	// An IPv6 address stands in brackets, and a zone is refused along with the "%".
	if ip, err := netip.ParseAddr(t.host); !sshHost.MatchString(t.host) && (err != nil || !ip.Is6()) {
		return nil, fmt.Errorf("host: found %s, want a name or an address; letters, digits and . _ -, the first no -", quote(t.host))
	}
	if strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("port: found nothing after the colon")
	}
	if n, err := strconv.ParseUint(t.port, 10, 16); t.port != "" && (err != nil || n == 0) {
		return nil, fmt.Errorf("port: found %s, want 1 to 65535", quote(t.port))
	}
	if t.path == "/" {
		t.path = ""
	}
	switch {
	case t.path == "":
	case !sshPath.MatchString(t.path):
		return nil, fmt.Errorf("path of the socket: found %s, want letters, digits and . _ , : @ + - /", quote(t.path))
	case path.Clean(t.path) != t.path:
		return nil, fmt.Errorf("path of the socket: found %s, want %s", quote(t.path), quote(path.Clean(t.path)))
	case len(t.path) > maxSocketPath:
		return nil, fmt.Errorf("path of the socket: found %d bytes, want at most %d", len(t.path), maxSocketPath)
	}
	return t, nil
}

// String returns the address.
func (t *sshTarget) String() string {
	host := t.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.user != "" {
		host = t.user + "@" + host
	}
	if t.port != "" {
		host += ":" + t.port
	}
	return sshScheme + host + t.path
}

var anyScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// address reads what [New] was given. Of an address that is of no use it returns
// what can be shown of it, and the error.
func address(socket string) (shown string, target *sshTarget, err *UnreachableError) {
	scheme := anyScheme.FindString(socket)
	if scheme == "" {
		return socket, nil, nil
	}
	refused := func(detail string) (string, *sshTarget, *UnreachableError) {
		shown := scheme + "..." // the rest may have a password in it
		return shown, nil, &UnreachableError{Socket: shown, Reason: BadAddress, Detail: detail}
	}
	if scheme != sshScheme {
		return refused("want the path of a Unix socket, or ssh://[USER@]HOST[:PORT][/PATH]")
	}
	target, problem := parseSSH(socket)
	if problem != nil {
		return refused(problem.Error())
	}
	return target.String(), target, nil
}
