package updater

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// maxFileSize is the longest file that is read, in bytes.
const maxFileSize = 4 << 20

// UnclearError says that an app asks for the updater in a way that names no release.
type UnclearError struct {
	File  string
	Found string // what stands there
}

func (e *UnclearError) Error() string {
	return fmt.Sprintf("%s: %s: found %s, which names no release; want the package installed (npm ci), or a version or range such as ^%s",
		e.File, Package, strconv.Quote(e.Found), FirstWithSessionKeyRequired)
}

// Find looks for the updater of the app in dir. packageJSON, if not empty, is the app's package.json, or several
// with commas between them, as from dir. It returns nil if the app has none, and an [UnclearError] if it cannot be
// said which.
func Find(dir, packageJSON string) (*Installed, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var files, bases []string
	for name := range strings.SplitSeq(packageJSON, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if _, err := os.Stat(name); err != nil {
			return nil, err
		}
		files, bases = append(files, name), append(bases, filepath.Dir(name))
	}
	bases = append(bases, dir)
	if len(files) == 0 {
		files = []string{filepath.Join(dir, "package.json")}
	}
	for _, look := range []func() (*Installed, error){
		func() (*Installed, error) { return inModules(bases) },
		func() (*Installed, error) { return byNative(dir) },
		func() (*Installed, error) { return declared(files) },
	} {
		if found, err := look(); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// inModules looks into node_modules of the folders and of all above them, where monorepos have what they share.
func inModules(bases []string) (*Installed, error) {
	for _, at := range bases {
		for {
			found, err := installed(filepath.Join(at, "node_modules", filepath.FromSlash(Package)))
			if found != nil || err != nil {
				return found, err
			}
			if at == filepath.Dir(at) {
				break
			}
			at = filepath.Dir(at)
		}
	}
	return nil, nil
}

// installed reads the version of the package in a folder; it returns nil if there is none.
func installed(dir string) (*Installed, error) {
	name := filepath.Join(dir, "package.json")
	var pkg struct {
		Version string `json:"version"`
	}
	if err := readJSON(name, &pkg); absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	v, ok := release(pkg.Version)
	if !ok {
		return nil, &UnclearError{File: name, Found: pkg.Version}
	}
	return &Installed{Version: v, From: name}, nil
}

// byNative follows the native projects, which name the folder of the package that they are built from: the file,
// how that is written, and what the path is as from.
func byNative(dir string) (*Installed, error) {
	for _, n := range []struct {
		file string
		path *regexp.Regexp
	}{
		{"ios/App/Podfile", regexp.MustCompile(`pod\s+['"]CapgoCapacitorUpdater['"],\s*:path\s*=>\s*['"]([^'"\n]+)['"]`)},
		{"ios/App/CapApp-SPM/Package.swift", regexp.MustCompile(`\.package\(\s*name:\s*"CapgoCapacitorUpdater",\s*path:\s*"([^"\n]+)"`)},
		{"android/capacitor.settings.gradle", regexp.MustCompile(`project\(':capgo-capacitor-updater'\)\.projectDir\s*=\s*new\s+File\(['"]([^'"\n]+?)(?:/android)?['"]`)},
	} {
		name := filepath.Join(dir, filepath.FromSlash(n.file))
		data, err := read(name)
		if absent(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		m := n.path.FindSubmatch(data)
		if m == nil {
			continue
		}
		at := filepath.FromSlash(string(m[1]))
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(name), at)
		}
		if found, err := installed(at); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// declared reads what the app asks for. A range that only grows from one release says at least that one.
func declared(files []string) (*Installed, error) {
	for _, name := range files {
		var pkg struct {
			Dependencies    map[string]any `json:"dependencies"`
			DevDependencies map[string]any `json:"devDependencies"`
		}
		if err := readJSON(name, &pkg); absent(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		wanted, ok := pkg.Dependencies[Package]
		if !ok {
			wanted, ok = pkg.DevDependencies[Package]
		}
		if !ok {
			continue
		}
		text, _ := wanted.(string)
		rest := strings.TrimSpace(text)
		atLeast := false
		for _, prefix := range []string{"^", "~", ">=", "="} {
			if after, ok := strings.CutPrefix(rest, prefix); ok {
				rest, atLeast = strings.TrimSpace(after), prefix != "="
				break
			}
		}
		v, ok := release(rest)
		if !ok {
			return nil, &UnclearError{File: name, Found: text}
		}
		return &Installed{Version: v, From: name, AtLeast: atLeast}, nil
	}
	return nil, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func readJSON(name string, into any) error {
	data, err := read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func read(name string) ([]byte, error) {
	f, err := infile.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("%s has more than %d bytes, that cannot be right", name, maxFileSize)
	}
	return data, err
}
