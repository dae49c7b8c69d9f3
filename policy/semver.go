package policy

import (
	"fmt"
	"strings"

	"golang.org/x/mod/semver"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// maxVersion is the longest version in bytes that is compared, with its v.
const maxVersion = 256

// compareVersions returns -1, 0 or 1 by the precedence of Semantic Versioning
// 2.0.0, section 11, in which build metadata does not count. An error says which
// of the two is none.
func compareVersions(a, b string) (int, error) {
	va, vb := "v"+a, "v"+b
	switch {
	case !isVersion(va):
		return 0, notVersion(a)
	case !isVersion(vb):
		return 0, notVersion(b)
	}
	return semver.Compare(va, vb), nil
}

func notVersion(s string) error {
	return fmt.Errorf("found version %.40q, want one by semver 2.0.0 such as 1.4.0 or 1.4.0-rc.1", s)
}

// isVersion reports whether v, with a v, is one. Package semver takes "v1.2", too,
// which is none by semver 2.0.0.
func isVersion(v string) bool {
	if len(v) > maxVersion || !semver.IsValid(v) {
		return false
	}
	numbers := v
	if i := strings.IndexAny(v, "-+"); i >= 0 {
		numbers = v[:i]
	}
	return strings.Count(numbers, ".") == 2
}

// celNewer is newer(a, b) in conditions: whether version a is above version b. It
// is an error if one of the two is no version.
func celNewer(a, b ref.Val) ref.Val {
	left, isText := a.(types.String)
	right, isTextToo := b.(types.String)
	if !isText || !isTextToo {
		return types.NewErr("newer wants two versions")
	}
	order, err := compareVersions(string(left), string(right))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(order > 0)
}
