package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL reports whether phones can download from an address, and whether it
// can be told to everybody: https with a host and a path, without a password and
// without a fragment. Phones refuse plain http by default, both Android and iOS.
func CheckURL(address string) error {
	u, err := parseAddress(address)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", err)
	case u.Scheme != "https":
		return fmt.Errorf("url: found %q, want it to begin with https://: phones refuse plain http", address)
	case len(u.Path) < 2 || strings.HasSuffix(u.Path, "/"):
		return fmt.Errorf("url: found %q, want the address of a file", address)
	case strings.Contains(address, "#"):
		return fmt.Errorf("url: found a part after # in %q, which is never sent to a server", address)
	}
	return nil
}

// parseAddress reads an https address, or an http one of this machine.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		// The error of url.Parse has the address in it, and that may have a password.
		return nil, errors.New("found what is no address, want https://HOST/PATH")
	}
	if u.User != nil {
		return nil, errors.New("found a user name or password in the address: it would be published; want https://HOST/PATH")
	}
	// The Capgo API and the official CLI compare with "https://", to the letter.
	switch {
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("found %q, want https://HOST/PATH", address)
	case strings.HasPrefix(address, "https://"):
	case strings.HasPrefix(address, "http://") && isThisMachine(u.Hostname()):
	default:
		return nil, fmt.Errorf("found %q, want it to begin with https://", address)
	}
	// What a log or a terminal would show otherwise than a phone reads it.
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("found a space or a character outside of ASCII in %q, want it percent-encoded", address)
	}
	return u, nil
}

func isThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// CheckBase reports whether phones can download from an address, which is that of a
// file or, with a slash at its end, of a folder with files.
func CheckBase(address string) error {
	if strings.HasSuffix(address, "/") {
		return CheckURL(address + "file")
	}
	return CheckURL(address)
}
