package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// The names in the folder of a delta update.
const (
	manifestName  = "manifest.json"
	objectsFolder = "files"
)

// deltaFiles is a delta update: what its manifest says, and where the stored files
// are.
type deltaFiles struct {
	entries []capgo.ManifestEntry
	objects string // folder
}

// readResult reads what sign --json printed.
func (a *app) readResult(name string) (signResult, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = readAll("stdin", a.stdin)
	} else {
		data, err = readArgument(name)
	}
	if err != nil {
		return signResult{}, err
	}
	var both struct {
		signResult
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(data, &both); err != nil {
		return signResult{}, &inputError{err: fmt.Errorf("result %s: %w", name, err)}
	}
	if both.Checksum == "" || both.IVSessionKey == "" {
		err := fmt.Errorf("result %s: found no checksum or no ivSessionKey, want what sign --json printed", name)
		if both.Detail != "" {
			err = fmt.Errorf("result %s: it is an error, not a signature: %s", name, both.Detail)
		}
		return signResult{}, &inputError{err: err}
	}
	return both.signResult, nil
}

// of returns what this key gave, of a request that was signed with several. If
// none is called like it, that is the first: checking it says what is wrong.
func (r *signResult) of(key *capgo.PublicKey) *keyResult {
	for i := range r.Also {
		if r.Also[i].KeyID == key.KeyID() && r.KeyID != key.KeyID() {
			return &r.Also[i]
		}
	}
	return &r.keyResult
}

// find looks what the arguments are, and for the files that nobody named.
func (v *verification) find(args []string) error {
	var update, folder string
	for i, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return &inputError{err: err}
		}
		var is *string
		switch {
		case info.IsDir():
			is = &folder
		case strings.HasSuffix(arg, ".json") && i == 0:
			is = &update
		default:
			is = &v.zip
		}
		if *is != "" {
			return &inputError{err: fmt.Errorf("found %s and %s, want one of them", *is, arg)}
		}
		*is = arg
	}
	switch {
	case update != "":
		return v.findUpdate(update, folder)
	case folder != "":
		return v.findDelta(folder)
	case v.zip == "" && v.result != nil:
		return v.findResult()
	case v.zip == "":
		return &inputError{err: errors.New("found no file to verify"), hint: "name the encrypted bundle: bundlesign verify ENCRYPTED.zip ..."}
	}
	return nil
}

// findResult takes the files that the result names.
func (v *verification) findResult() error {
	k := v.result.of(v.key)
	if v.zip = k.Filename; v.zip == "" && k.Delta == nil {
		return &inputError{err: errors.New("found no file to verify"), hint: "name the encrypted bundle: bundlesign verify ENCRYPTED.zip ..."}
	}
	err := func() error {
		if v.zip != "" {
			// What the user did not name is not waited for, nor read without end.
			if err := infile.Check(v.zip); err != nil {
				return &inputError{err: err}
			}
		}
		if k.Delta != nil {
			return v.findDelta(k.Delta.Folder)
		}
		return nil
	}()
	var input *inputError
	if errors.As(err, &input) && input.hint == "" {
		input.hint = "the names in the result are as from the folder where it was signed; name the file: bundlesign verify ENCRYPTED.zip ..."
	}
	return err
}

// findDelta reads the manifest of a folder.
func (v *verification) findDelta(folder string) error {
	name := filepath.Join(folder, manifestName)
	data, err := readDocument(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &inputError{err: err, hint: "a folder is that of a delta update, with manifest.json and files/; of a zip name the file"}
		}
		return err
	}
	entries, err := capgo.ParseManifest(data)
	if err != nil {
		v.bad = &check{"manifest", checkFailed, fmt.Sprintf("%s: %v", name, err)}
		return nil
	}
	v.delta = &deltaFiles{entries, filepath.Join(folder, objectsFolder)}
	return nil
}

// findUpdate reads an update.json and looks for what it says to download: beside
// it, unless it was named.
func (v *verification) findUpdate(name, folder string) error {
	if v.checksum != "" && v.result == nil {
		return &inputError{err: fmt.Errorf("found %s and --checksum, want one of them", name)}
	}
	data, err := readDocument(name)
	if err != nil {
		return err
	}
	u, err := capgo.ParseUpdate(data)
	if err == nil && u.URL == "" {
		err = errors.New("update: found no url: phones refuse an update without it, also if it has a manifest")
	}
	if err != nil {
		v.bad = &check{"update", checkFailed, fmt.Sprintf("%s: %v", name, err)}
		return nil
	}
	v.update, v.checksum, v.sessionKey = u, u.Checksum, u.SessionKey
	if v.zip == "" {
		if err := v.findZip(filepath.Dir(name)); err != nil {
			return err
		}
	}
	if len(u.Manifest) == 0 {
		if folder != "" {
			return &inputError{err: fmt.Errorf("%s has no manifest, so what is the folder %s?", name, folder)}
		}
		return nil
	}
	v.delta = &deltaFiles{entries: u.Manifest}
	places := []string{filepath.Join(folder, objectsFolder)}
	if folder == "" {
		beside := filepath.Dir(name)
		places = []string{filepath.Join(beside, objectsFolder), filepath.Join(beside, "delta", objectsFolder)}
	}
	for _, place := range places {
		if isFolder(place) {
			v.delta.objects = place
			return nil
		}
	}
	return &inputError{
		err:  fmt.Errorf("found no folder %s with the files of the manifest", strings.Join(places, " and no ")),
		hint: "name the folder of the delta update behind update.json",
	}
}

// findZip looks in a folder for the zip that the update's url names.
func (v *verification) findZip(folder string) error {
	u, err := url.Parse(v.update.URL)
	if err != nil {
		return &inputError{err: err} // ParseUpdate has read it
	}
	name := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if name == publish.NoZip {
		v.noZip = "the update has none, but a manifest"
		return nil
	}
	file := filepath.Join(folder, name)
	if strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
		err = fmt.Errorf("the url %s does not end in the name of a file", v.update.URL)
	} else {
		err = infile.Check(file)
	}
	switch {
	case err == nil:
		v.zip = file
	case len(v.update.Manifest) > 0:
		v.noZip = fmt.Sprintf("there is no file %s, and phones that read the manifest do not need it", file)
	default:
		return &inputError{err: err, hint: "name the encrypted bundle behind update.json"}
	}
	return nil
}

// maxDocument is the longest update.json or manifest.json that is read, in bytes:
// that of [capgo.ParseUpdate].
const maxDocument = 64 << 20

// readDocument reads update.json or manifest.json, which can be long.
func readDocument(name string) ([]byte, error) {
	f, err := infile.Open(name)
	if err != nil {
		return nil, &inputError{err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1)) // one byte too many is what the parser refuses
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("reading %s: %w", name, err)}
	}
	return data, nil
}
