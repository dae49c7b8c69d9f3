package publish

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestFindAPIKey(t *testing.T) {
	const home = "/home/ci"
	for _, test := range []struct {
		name  string
		env   map[string]string
		files map[string]string
		from  string // "": an error
		says  string
	}{
		{"environment", map[string]string{"CAPGO_TOKEN": " k1\n", "HOME": home}, map[string]string{home + "/.capgo": "k2"}, "CAPGO_TOKEN", ""},
		{"home", map[string]string{"HOME": home}, map[string]string{home + "/.capgo": "k1\n", ".capgo": "k2"}, home + "/.capgo", ""},
		{"current folder", map[string]string{"HOME": home}, map[string]string{".capgo": "k1"}, ".capgo", ""},
		{"empty at home", map[string]string{"HOME": home, "CAPGO_TOKEN": " "}, map[string]string{home + "/.capgo": "\n", ".capgo": "k1"}, ".capgo", ""},
		{"no home", nil, map[string]string{".capgo": "k1"}, ".capgo", ""},
		{"nowhere", map[string]string{"HOME": home}, nil, "", "found no API key"},
		{"two lines", map[string]string{"CAPGO_TOKEN": "top\nsecret"}, nil, "", "CAPGO_TOKEN"},
		{"too long", map[string]string{"CAPGO_TOKEN": strings.Repeat("secret", 1000)}, nil, "", "6000 bytes"},
	} {
		read := func(name string) ([]byte, error) {
			if text, ok := test.files[name]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		key, from, err := FindAPIKey(func(name string) string { return test.env[name] }, read)
		switch {
		case test.from != "":
			if err != nil || key != "k1" || from != test.from {
				t.Errorf("%s: found %q of %q, error %v", test.name, key, from, err)
			}
		case err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: found the error %v, want one with %q and without the key", test.name, err, test.says)
		}
	}
	denied := func(string) ([]byte, error) { return nil, fs.ErrPermission }
	if _, _, err := FindAPIKey(func(string) string { return "" }, denied); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("found %v: a key that cannot be read is not one that is not there", err)
	}
}
