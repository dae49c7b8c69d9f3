package pkcs11

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/signer"
)

// moduleDirs are where systems keep PKCS#11 modules, as patterns of
// [filepath.Glob].
func moduleDirs() []string {
	return []string{"/usr/lib/*/pkcs11", "/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/local/lib/pkcs11"}
}

// path returns the path of the module. One that is named is looked for anew each
// time, so that it may be installed while the daemon runs.
func (c *Config) path() (string, error) {
	if c.ModulePath != "" {
		return c.ModulePath, nil
	}
	dirs := c.ModuleDirs
	if dirs == nil {
		dirs = moduleDirs()
	}
	return findModule(c.ModuleName, dirs)
}

// findModule returns the path of NAME.so or libNAME.so in one of the directories.
// RFC 7512, section 2.3, leaves the way from a name to a file to the system.
func findModule(name string, dirs []string) (string, error) {
	var found, files []string // the same files, as found and without links
	for _, dir := range dirs {
		for _, file := range []string{name + ".so", "lib" + name + ".so"} {
			matches, err := filepath.Glob(filepath.Join(dir, file))
			if err != nil {
				return "", fmt.Errorf("%w: pkcs11: looking for the module in %s: %w", signer.ErrKeyUnusable, dir, err)
			}
			for _, match := range matches {
				real, err := filepath.EvalSymlinks(match)
				if err == nil && !slices.Contains(files, real) {
					found, files = append(found, match), append(files, real)
				}
			}
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: pkcs11: there is no %s.so or lib%s.so in %s: install the vendor's package, or give module-path", signer.ErrUnavailable, name, name, strings.Join(dirs, ", "))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: pkcs11: module-name=%s can be any of %s: give module-path instead", signer.ErrKeyUnusable, name, strings.Join(found, ", "))
}
