package config

import (
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
)

// fileScheme begins the URI of a private key in a file.
const fileScheme = "file:"

// isSoftware reports whether the key is a file.
func (k *Key) isSoftware() bool { return strings.HasPrefix(k.URI, fileScheme) }

// resolve makes every path below v absolute, as seen from base, the folder of
// the file that it stands in.
func resolve(v reflect.Value, base string) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			resolve(v.Index(i), base)
		}
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		inner := v.Field(f.index)
		switch f.kind {
		case "path":
			inner.SetString(absolute(inner.String(), base))
		case "uri":
			if path, ok := strings.CutPrefix(inner.String(), fileScheme); ok && !strings.HasPrefix(path, "//") {
				// What stands in a URI is escaped (RFC 8089), so base must be.
				inner.SetString(fileScheme + absolute(path, (&url.URL{Path: base}).EscapedPath()))
			}
		default:
			resolve(inner, base)
		}
	}
}

func absolute(path, base string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
