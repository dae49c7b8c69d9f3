package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// The names in a folder.
const (
	manifestName = "manifest.json"
	objectsName  = "files"
)

// folder is the folder of one target while it has not got its name yet.
type folder struct {
	target   Target
	dir      *outfile.Dir
	manifest []capgo.ManifestEntry

	mu      sync.Mutex
	objects map[string]bool
	bytes   int64 // of the objects
}

func newFolder(t Target, files int) (*folder, error) {
	dir, err := outfile.CreateDir(t.Dir, earlier)
	if err != nil {
		return nil, err
	}
	f := &folder{target: t, dir: dir, manifest: make([]capgo.ManifestEntry, files), objects: make(map[string]bool)}
	if err := os.Mkdir(filepath.Join(dir.Path(), objectsName), 0o777); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

func (f *folder) discard() {
	if f != nil {
		f.dir.Discard()
	}
}

// put encrypts what is stored of a content, and enters its files in the manifest.
func (f *folder) put(ctx context.Context, j *job, s *stored, p *Plan) error {
	object, size, err := f.encrypt(ctx, s)
	if err != nil {
		return notWritten(f.target, fmt.Errorf("%s: %w", j.file.Name, err))
	}
	f.mu.Lock()
	if !f.objects[object] {
		f.objects[object] = true
		f.bytes += size
	}
	f.mu.Unlock()
	base := f.target.BaseURL
	if base != "" && !strings.HasSuffix(base, "/") {
		base += "/"
	}
	for _, i := range j.files {
		name, err := capgo.FileName(p.Files[i].Name, s.brotli)
		if err != nil {
			return &NameError{err}
		}
		f.manifest[i] = capgo.ManifestEntry{
			FileName:    name,
			FileHash:    f.target.Hashes[i],
			DownloadURL: base + objectsName + "/" + object,
		}
	}
	return nil
}

// encrypt writes an object under a name that nobody else has, and then gives it
// the name of its content.
func (f *folder) encrypt(ctx context.Context, s *stored) (object string, size int64, err error) {
	src, err := s.open(ctx)
	if err != nil {
		return "", 0, err
	}
	defer src.Close() // it was only read
	out, err := createTemp(f.dir.Path())
	if err != nil {
		return "", 0, err
	}
	defer out.Close() // a second time, if all went well
	h := sha256.New()
	var n counter
	if _, err := capgo.Encrypt(io.MultiWriter(out, h, &n), src, f.target.Key, f.target.IV); err != nil {
		return "", 0, err
	}
	if err := out.Close(); err != nil {
		return "", 0, err
	}
	object = hex.EncodeToString(h.Sum(nil))
	return object, int64(n), os.Rename(out.Name(), filepath.Join(f.dir.Path(), objectsName, object))
}

// finish writes the manifest and sees to it that all is on disk.
func (f *folder) finish(p *Plan) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f.manifest); err != nil {
		return err
	}
	// What a reader would refuse is not written.
	if _, err := capgo.ParseManifest(b.Bytes()); err != nil {
		return &NameError{err}
	}
	if err := os.WriteFile(filepath.Join(f.dir.Path(), manifestName), b.Bytes(), 0o666); err != nil {
		return err
	}
	return f.dir.Sync()
}

// CheckDir reports whether a delta update could be written to dir: it does not
// exist, is empty, or holds an earlier one and nothing else.
func CheckDir(dir string) error { return outfile.CheckDir(dir, earlier) }

// earlier lists what is in dir if that is an earlier delta update and nothing
// else.
func earlier(dir string) ([]string, error) {
	names := []string{manifestName, objectsName}
	top, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range top {
		if !(e.Name() == manifestName && e.Type().IsRegular() || e.Name() == objectsName && e.IsDir()) {
			return nil, fmt.Errorf("found %q, which is not of an earlier delta update", e.Name())
		}
	}
	if len(top) != len(names) {
		return nil, errors.New("found only a part of a delta update")
	}
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	if _, err := capgo.ParseManifest(data); err != nil {
		return nil, err
	}
	objects, err := os.ReadDir(filepath.Join(dir, objectsName))
	if err != nil {
		return nil, err
	}
	for _, e := range objects {
		if !isObject(e) {
			return nil, fmt.Errorf("found %q, which is not of an earlier delta update", objectsName+"/"+e.Name())
		}
		names = append(names, objectsName+"/"+e.Name())
	}
	return names, nil
}

// isObject reports whether an entry is called as the objects are.
func isObject(e fs.DirEntry) bool {
	_, err := capgo.ParseDigest(e.Name())
	return err == nil && e.Type().IsRegular()
}
