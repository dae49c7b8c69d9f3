package file

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Scheme is how the URI of a key file begins.
const Scheme = "file:"

// ParseURI returns the path in a file URI (RFC 8089): file:/path,
// file:///path or file://localhost/path, with %XX escapes decoded. The path must be
// absolute.
func ParseURI(uri string) (path string, err error) {
	if !strings.HasPrefix(uri, Scheme) {
		return "", fmt.Errorf("want a URI that begins with %q", Scheme)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", errors.New("is not a valid URI: check its %XX escapes")
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(uri, "#") {
		return "", errors.New("has a ? or #: a file URI has no options, and in a name they are written as %3F and %23")
	}
	if u.Host != "" && u.Host != "localhost" || u.User != nil {
		return "", fmt.Errorf("names a file on host %q: want file:/absolute/path", u.Host)
	}
	if u.Opaque != "" || !filepath.IsAbs(u.Path) {
		return "", errors.New("is not an absolute path: want file:/absolute/path")
	}
	if strings.IndexByte(u.Path, 0) >= 0 {
		return "", errors.New("has a zero byte in it")
	}
	return filepath.Clean(u.Path), nil
}

// URI returns the URI of the key file at an absolute path.
func URI(path string) string {
	return Scheme + (&url.URL{Path: path}).EscapedPath()
}
