package policy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/bundlesign/bundlesign/policy"
)

func TestCheckAppID(t *testing.T) {
	for _, id := range []string{
		"com.acme.shop", "a.b", "Com.Acme.Shop_2-x", "9.9", "com._x", "com.-", strings.Repeat("a", policy.MaxAppID-2) + ".b",
	} {
		if err := policy.CheckAppID(id); err != nil {
			t.Errorf("CheckAppID(%q) = %v, want it accepted", id, err)
		}
	}
	for id, want := range map[string]string{
		"":                "found nothing",
		"shop":            "no dot",
		"com/acme.shop":   `'/' is not a letter`,
		"com.acme\n":      `'\n' is not a letter`,
		"com.acme\x00":    `'\x00' is not a letter`,
		"com.acmé.shop":   `'é' is not a letter`,
		"com.\xff":        "is not a letter",
		"com.acme shop":   `' ' is not a letter`,
		"com.*":           `'*' is not a letter`,
		".com":            "a dot has nothing before or after it",
		"com.":            "a dot has nothing before or after it",
		"com..shop":       "a dot has nothing before or after it",
		"com.acme..shop":  "a dot has nothing before or after it",
		"..":              "a dot has nothing before or after it",
		"my-company.shop": `"my-company" before the first dot`,
		"a." + strings.Repeat("b", policy.MaxAppID-1): "found 256 bytes",
	} {
		err := policy.CheckAppID(id)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckAppID(%q) = %v, want an error with %q", id, err, want)
		}
	}
}

// FuzzCheckAppID holds the hand-written check, which gives reasons, against the
// official CLI's expression, which does not.
func FuzzCheckAppID(f *testing.F) {
	official := regexp.MustCompile(`(?i)^[a-z0-9]+(\.[0-9A-Za-z_-]+)+$`)
	for _, id := range []string{"com.acme.shop", "a.b.", ".a", "a..b", "a-b.c", "a_b", "ſ.x", "K.x"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		// Go folds ſ and K (the Kelvin sign) into letters, JavaScript without
		// its u flag does not.
		ascii := strings.IndexFunc(id, func(c rune) bool { return c > 127 }) < 0
		want := ascii && official.MatchString(id) && len(id) <= policy.MaxAppID
		if got := policy.CheckAppID(id) == nil; got != want {
			t.Errorf("CheckAppID(%q) accepts: %t, want %t", id, got, want)
		}
	})
}
