package config

import (
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// fileScheme begins the URI of a private key in a file.
const fileScheme = "file:"

// isSoftware reports whether the key, or a replica of it, is a file.
func (k *Key) isSoftware() bool {
	return slices.ContainsFunc(k.URIs(), func(uri string) bool { return strings.HasPrefix(uri, fileScheme) })
}

// URIs returns all places where the key is, the preferred one first.
func (k *Key) URIs() []string { return append([]string{k.URI}, k.Replicas...) }

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
			if inner.Kind() != reflect.Slice {
				inner.SetString(absoluteURI(inner.String(), base))
				continue
			}
			for i := range inner.Len() {
				inner.Index(i).SetString(absoluteURI(inner.Index(i).String(), base))
			}
		default:
			resolve(inner, base)
		}
	}
}

// absoluteURI makes the path of a "file:" URI absolute.
func absoluteURI(uri, base string) string {
	if path, ok := strings.CutPrefix(uri, fileScheme); ok && !strings.HasPrefix(path, "//") {
		// What stands in a URI is escaped (RFC 8089), so base must be.
		return fileScheme + absolute(path, (&url.URL{Path: base}).EscapedPath())
	}
	return uri
}

func absolute(path, base string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
