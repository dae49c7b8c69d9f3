package capgo

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/semver"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxUpdateSize is the most bytes of an update.json or manifest.json that are
	// read: some 70,000 entries.
	maxUpdateSize = 64 << 20
	// maxManifest is the most entries of a manifest.
	maxManifest = 100_000
)

// ManifestEntry is one file of a delta update, as an update server tells it.
type ManifestEntry struct {
	// FileName is where the file goes, relative to the app, with ".br" behind it
	// if the stored file is compressed with Brotli.
	FileName string `json:"file_name"`
	// FileHash is the signed SHA-256 of the plain, uncompressed file.
	FileHash string `json:"file_hash"`
	// DownloadURL is where the stored file is.
	DownloadURL string `json:"download_url"`
}

// Update is the answer of a self-hosted update server.
type Update struct {
	Version    string          `json:"version"`       // by semver 2.0.0
	URL        string          `json:"url,omitempty"` // of the encrypted zip
	SessionKey string          `json:"session_key"`   // see [WrappedKey]
	Checksum   string          `json:"checksum"`      // signed, of the plain zip
	Manifest   []ManifestEntry `json:"manifest,omitempty"`
}

// ParseUpdate reads the answer of an update server, of at most 64 MiB. Members
// that it does not know are passed over, as a phone does; a member that is there
// twice, or in other letters, is not read differently from a phone but refused or
// passed over. Whether the signed parts are good is for [VerifyBundle] and
// [VerifyFile] to say.
func ParseUpdate(data []byte) (*Update, error) {
	u := new(Update)
	if err := parseJSON("update", data, u); err != nil {
		return nil, err
	}
	if !isVersion(u.Version) {
		return nil, fmt.Errorf("update: version: found %.40q, want one by semver 2.0.0 such as 1.4.0", u.Version)
	}
	if u.SessionKey == "" {
		return nil, errors.New("update: found no session_key: an updater before 8.51.23 installs such an update unsigned")
	}
	switch {
	case u.URL == "" && len(u.Manifest) == 0:
		return nil, errors.New("update: found neither url nor manifest: there is nothing to download")
	case u.URL != "":
		if err := checkDownload(u.URL); err != nil {
			return nil, fmt.Errorf("update: url: %w", err)
		}
		if u.Checksum == "" {
			return nil, errors.New("update: found a url and no checksum")
		}
	}
	if err := checkCount(u.Manifest); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	for i, e := range u.Manifest {
		if err := checkDownload(e.DownloadURL); err != nil {
			return nil, fmt.Errorf("update: manifest[%d] (%.100q): download_url: %w", i, e.FileName, err)
		}
	}
	if err := checkManifest(u.Manifest); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	return u, nil
}

// ParseManifest reads the manifest of a delta update: a JSON array of at most
// 64 MiB and 100,000 entries. A download_url may be relative here, as long as the
// files have no place of their own; it then is within the manifest's folder.
func ParseManifest(data []byte) ([]ManifestEntry, error) {
	var m []ManifestEntry
	if err := parseJSON("manifest", data, &m); err != nil {
		return nil, err
	}
	if len(m) == 0 {
		return nil, errors.New("manifest: found no files")
	}
	if err := checkCount(m); err != nil {
		return nil, err
	}
	for i, e := range m {
		if relativeDownload(e.DownloadURL) {
			continue
		}
		if err := checkDownload(e.DownloadURL); err != nil {
			return nil, fmt.Errorf("manifest[%d] (%.100q): download_url: %w", i, e.FileName, err)
		}
	}
	if err := checkManifest(m); err != nil {
		return nil, err
	}
	return m, nil
}

// parseJSON is strict where phones differ from Go or from each other: names of
// members are compared to the letter, and none may be there twice.
func parseJSON(what string, data []byte, v any) error {
	if len(data) > maxUpdateSize {
		return fmt.Errorf("%s: found %d bytes, want at most %d", what, len(data), maxUpdateSize)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func isVersion(s string) bool {
	v := "v" + s
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}

func checkCount(m []ManifestEntry) error {
	if len(m) > maxManifest {
		return fmt.Errorf("manifest: found %d files, want at most %d", len(m), maxManifest)
	}
	return nil
}

// checkManifest refuses what a phone refuses: an entry without a hash, a name that
// leaves the app's folder, two entries for one place.
func checkManifest(m []ManifestEntry) error {
	places := make(map[string]int, len(m))
	for i, e := range m {
		if err := ValidFileName(e.FileName); err != nil {
			return fmt.Errorf("manifest[%d]: file_name: %w", i, err)
		}
		if e.FileHash == "" {
			return fmt.Errorf("manifest[%d] (%.100q): found no file_hash", i, e.FileName)
		}
		place := e.place()
		if j, twice := places[place]; twice {
			return fmt.Errorf("manifest[%d] and manifest[%d]: %.100q and %.100q are for the same place", j, i, m[j].FileName, e.FileName)
		}
		places[place] = i
	}
	// A file cannot be a folder as well.
	for i, e := range m {
		place := e.place()
		for folder, _, more := cutLast(place); more; folder, _, more = cutLast(folder) {
			if j, is := places[folder]; is {
				return fmt.Errorf("manifest[%d] and manifest[%d]: %.100q is a file and the folder of %.100q", j, i, m[j].FileName, e.FileName)
			}
		}
	}
	return nil
}

// place is what Target names, in one spelling: to the file system of iOS all ways to
// write an accent are the same.
func (e ManifestEntry) place() string {
	name, _ := e.Target()
	return norm.NFC.String(name)
}

// cutLast splits a name behind its last "/"; without one all of it is base.
func cutLast(name string) (folder, base string, found bool) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return "", name, false
}

// checkDownload says what is wrong with an address that a phone is to download
// from: both systems refuse plain HTTP unless an app asks for it.
func checkDownload(address string) error {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return errors.New("found none, want an https address")
	case err != nil:
		return fmt.Errorf("found %.200q, want an https address", address)
	case u.Scheme != "https":
		return fmt.Errorf("found %.200q, want an address that begins with https://: phones refuse plain http", address)
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("found %.200q, want an https address with a host and no password in it", address)
	}
	return nil
}

// relativeDownload reports whether address is a path below the manifest's folder.
func relativeDownload(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		ValidFileName(address) == nil && !strings.Contains(address, "%")
}
