package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/delta"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// layout is where results go: one place for each key.
type layout struct {
	folder string // that all places are in
	places []place
}

// place is where the results of one key go. What is not asked for is "".
type place struct {
	folder             string // may not be there yet
	zip, delta, update string // in it
	zipURL, baseURL    string // where phones find them; "" without --url
}

// keyFolder is a name of a key that can be that of a folder.
var keyFolder = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// newLayout decides, and finds out before a signature is made whether its results
// can be written there. The names of files in a folder tell the app and version,
// as those of the official CLI do.
func (s *signing) newLayout() (*layout, error) {
	stem := s.in.path
	if s.in.folder {
		stem = fmt.Sprintf("%s_%s.zip", s.sub.AppID, s.sub.Version)
		if filepath.Base(stem) != stem || stem[0] == '.' {
			return nil, &inputError{err: fmt.Errorf("app and version: %q cannot be the name of a file", stem), hint: "choose one with --output"}
		}
	}
	target := s.f.output
	if s.f.wantsDelta() || len(s.also) > 0 || strings.HasSuffix(target, "/") || isFolder(target) {
		return s.folderLayout(target, filepath.Base(stem))
	}
	if target == "" {
		target = stem + encryptedSuffix
	}
	p := place{folder: filepath.Dir(target), zip: target}
	if !isFolder(p.folder) {
		return nil, &inputError{err: fmt.Errorf("output: found no folder %s", p.folder), hint: "make it, or choose another place with --output"}
	}
	if s.f.url != "" {
		p.update = filepath.Join(p.folder, "update.json")
	}
	p.urls(s.f.url, "", filepath.Base(target))
	out := &layout{folder: p.folder, places: []place{p}}
	return out, s.checkTargets(out)
}

// folderLayout puts all into one folder or, with several keys, into one for each.
// A folder that was not named must not be a link, which somebody else may have left
// in the project.
func (s *signing) folderLayout(target, stem string) (*layout, error) {
	if target == "" {
		target = strings.TrimSuffix(stem, ".zip")
		if err := noLink(target); err != nil {
			return nil, err
		}
	}
	out := &layout{folder: filepath.Clean(target)}
	names := []string{""}
	if len(s.also) > 0 {
		names = []string{s.f.keyName}
		for _, k := range s.also {
			names = append(names, k.name)
		}
	}
	for i, name := range names {
		if name != "" && !keyFolder.MatchString(name) {
			return nil, &inputError{err: fmt.Errorf("the key %q cannot give its name to a folder", name)}
		}
		if slices.ContainsFunc(names[:i], func(other string) bool { return strings.EqualFold(other, name) }) {
			return nil, &inputError{err: fmt.Errorf("--also-key: found the key %q twice, want each name once", name)}
		}
		p := place{folder: filepath.Join(out.folder, name)}
		if name != "" {
			if err := noLink(p.folder); err != nil {
				return nil, err
			}
		}
		if !s.f.deltaOnly {
			p.zip = filepath.Join(p.folder, stem+encryptedSuffix)
		}
		if s.f.wantsDelta() {
			p.delta = filepath.Join(p.folder, "delta")
		}
		if s.f.url != "" {
			p.update = filepath.Join(p.folder, "update.json")
		}
		p.urls(s.f.url, name, stem+encryptedSuffix)
		out.places = append(out.places, p)
	}
	if err := s.checkTargets(out); err != nil {
		return nil, err
	}
	return out, out.noOthers(stem + encryptedSuffix)
}

// noOthers refuses a folder with an earlier result of which this one would leave a
// part: what is uploaded from there must be of one request.
func (l *layout) noOthers(zip string) error {
	written := make(map[string]bool)
	for _, p := range l.places {
		for _, path := range []string{p.zip, p.delta, p.update} {
			written[path] = true
		}
	}
	folders := []string{l.folder}
	for _, p := range l.places {
		folders = append(folders, p.folder)
	}
	for _, folder := range folders {
		for _, name := range []string{zip, "delta", "update.json"} {
			path := filepath.Join(folder, name)
			if _, err := os.Lstat(path); err == nil && !written[path] {
				return &inputError{
					err:  fmt.Errorf("output: %s is there, and is not a part of what is written now", path),
					hint: "remove it, or choose another place with --output",
				}
			}
		}
	}
	return nil
}

// noLink refuses a folder that is a symbolic link.
func noLink(path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return &inputError{err: fmt.Errorf("output: %s is a symbolic link", path), hint: "remove it, or name the folder that it leads to with --output"}
	}
	return nil
}

// existing is the innermost folder on the way to path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// urls says where phones find what is in this place. A URL with a slash at its end
// is that of the folder, any other that of the zip.
func (p *place) urls(text, key, zip string) {
	if text == "" {
		return
	}
	base := text[:strings.LastIndexByte(text, '/')+1]
	if key != "" {
		base += url.PathEscape(key) + "/"
	}
	p.baseURL = base + "delta/"
	if p.zip == "" {
		return
	}
	p.zipURL = text
	if strings.HasSuffix(text, "/") {
		p.zipURL = base + url.PathEscape(zip)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return path != "" && err == nil && info.IsDir()
}

// checkTargets finds out whether results can be written.
func (s *signing) checkTargets(out *layout) error {
	if err := delta.CheckOptions(delta.Options{NoBrotli: s.f.noBrotli}); err != nil {
		return &inputError{err: fmt.Errorf("--no-brotli: %w", err)}
	}
	for _, p := range out.places {
		if err := s.outsideOfInput(existing(p.folder)); err != nil {
			return err
		}
		if isFolder(p.folder) {
			if err := s.checkPlace(p); err != nil {
				return err
			}
			continue
		}
		// As if it were to be written where the first missing folder goes.
		if err := outfile.Check(filepath.Join(existing(p.folder), "new")); err != nil && !errors.Is(err, outfile.ErrNotRegular) {
			return &inputError{err: fmt.Errorf("output: %w", err), hint: "choose another place with --output"}
		}
	}
	return nil
}

// checkPlace is about a folder that is there.
func (s *signing) checkPlace(p place) error {
	if p.delta != "" {
		if err := delta.CheckDir(p.delta); err != nil {
			return deltaError(fmt.Errorf("output: %w", err))
		}
	}
	if err := replaceable(p.update); err != nil {
		return err
	}
	for _, target := range []string{p.zip, p.update} {
		if target == "" {
			continue
		}
		if err := outfile.Check(target); err != nil {
			return &inputError{err: fmt.Errorf("output: %w", err), hint: "choose another place with --output"}
		}
		if s.in.plain == nil {
			continue
		}
		in, err := s.in.plain.file.Stat()
		if err != nil {
			return err
		}
		if found, err := os.Stat(target); err == nil && os.SameFile(in, found) {
			return &inputError{err: errors.New("the output is the bundle itself"), hint: "choose another name with --output"}
		}
	}
	return nil
}

// replaceable refuses to write update.json over a file that is none.
func replaceable(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := readDocument(path)
	if err == nil {
		_, err = capgo.ParseUpdate(data)
	}
	if err != nil {
		return &inputError{err: fmt.Errorf("output: %s is there and is no answer of an update server: %w", path, err), hint: "move it away, or choose another place with --output"}
	}
	return nil
}

// outsideOfInput refuses to write into the folder that is packed: the next bundle
// would have this one in it.
func (s *signing) outsideOfInput(target string) error {
	if !s.in.folder {
		return nil
	}
	switch inside, err := isInside(target, s.in.path); {
	case err != nil:
		return &inputError{err: fmt.Errorf("output: %w", err), hint: "choose another place with --output"}
	case inside:
		return &inputError{
			err:  fmt.Errorf("the output would be in %s, which is what is signed", s.in.path),
			hint: "choose a place outside of it with --output",
		}
	}
	return nil
}
