package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// The checks of a delta update.
const (
	checkObjects = "objects"    // the stored files are there, and are what they are called
	checkFiles   = "files"      // each is what was signed
	checkNames   = "file_names" // under the name that it was signed with
)

// mostListed is how many files of a kind are listed before the rest is counted.
const mostListed = 10

// plainFile is a file of a delta update that is good.
type plainFile struct {
	name      string // in the app
	digest    capgo.Digest
	size      int64 // bytes
	signature capgo.Signature
}

// runDelta does what a phone does with a manifest, and compares its names with
// what they can be compared with.
func (v *verification) runDelta(ctx context.Context, r *report, plain *plainZip) error {
	objects, err := v.delta.lookAt(ctx, r)
	if err != nil {
		return err
	}
	if v.zip == "" && !r.unwraps(v.sessionKey) {
		return nil
	}
	if err := v.verifyFiles(ctx, r, objects); err != nil {
		return err
	}
	// A folder around all of it, which the updater takes away from a zip, stays.
	if r.files != nil && !slices.ContainsFunc(r.files, func(f plainFile) bool { return f.name == "index.html" }) {
		r.add(checkApp, checkFailed, "the manifest has no index.html at the top of the app")
	}
	switch {
	case r.files == nil:
		r.add(checkNames, checkSkipped, "an earlier check failed")
	case plain != nil && plain.app != nil:
		return r.sameApp(ctx, plain)
	case v.result != nil && v.result.Log != nil:
		// The log has the names.
	default:
		r.add(checkNames, checkSkipped, "a signature is about the content of a file, not its name; the log receipt of --result, or the zip of the same signature, would tell")
	}
	return nil
}

// unwraps reports whether the session key can be used at all.
func (r *report) unwraps(sessionKey string) bool {
	wrapped, err := capgo.ParseWrappedKey(sessionKey)
	if err == nil {
		var aesKey *capgo.SessionKey
		if aesKey, err = r.key.Unwrap(wrapped); err == nil {
			aesKey.Forget()
		}
	}
	if err != nil {
		r.add(string(capgo.CheckSessionKey), checkFailed, "%v", err)
		r.add(checkFiles, checkSkipped, "an earlier check failed")
		return false
	}
	r.add(string(capgo.CheckSessionKey), checkOK, "unwrapped with the key %s", r.key.Fingerprint())
	return true
}

// objectOf returns the name of the stored file of an entry: the last part of its
// download_url, which is the SHA-256 of its bytes.
func objectOf(e capgo.ManifestEntry) (string, error) {
	u, err := url.Parse(e.DownloadURL)
	if err != nil {
		return "", fmt.Errorf("%s: download_url: found what is no address", e.FileName)
	}
	name := path.Base(u.Path)
	if _, err := capgo.ParseDigest(name); err != nil || strings.ToLower(name) != name {
		return "", fmt.Errorf("%s: download_url: found %.100q at its end, want the SHA-256 of the stored file, as sign writes it", e.FileName, name)
	}
	return name, nil
}

// lookAt checks that each stored file is there and is what its name says, and
// returns the path of that of each entry, or "" if it is not good.
func (d *deltaFiles) lookAt(ctx context.Context, r *report) (paths []string, err error) {
	paths = make([]string, len(d.entries))
	problems := make([]string, len(d.entries))
	seen := make(map[string]string) // by object: what is wrong with it
	var bytes int64
	for i, e := range d.entries {
		name, err := objectOf(e)
		if err != nil {
			problems[i] = err.Error()
			continue
		}
		file := filepath.Join(d.objects, name)
		problem, known := seen[name]
		if !known {
			var size int64
			size, problem, err = examine(ctx, file, name)
			if err != nil {
				return nil, err
			}
			bytes += size
			seen[name] = problem
		}
		if problem != "" {
			problems[i] = fmt.Sprintf("%s: %s %s", e.FileName, file, problem)
			continue
		}
		paths[i] = file
	}
	if !r.addAll(checkObjects, problems) {
		r.add(checkObjects, checkOK, "%d stored files, %d bytes, each with the SHA-256 that it is called by", len(seen), bytes)
	}
	return paths, d.extra(r, seen)
}

// examine says what is wrong with a stored file, or nothing.
func examine(ctx context.Context, file, name string) (size int64, problem string, err error) {
	// A link or a pipe would have others decide what is read, and when.
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, "is missing", nil
	case err != nil:
		return 0, "", &inputError{err: err}
	case !info.Mode().IsRegular():
		return 0, "is no regular file", nil
	}
	f, err := infile.Open(file)
	if err != nil {
		return 0, "", &inputError{err: err}
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, &ctxReader{ctx, f})
	if err != nil {
		return 0, "", fmt.Errorf("reading %s: %w", file, err)
	}
	if hex.EncodeToString(h.Sum(nil)) == name {
		return size, "", nil
	}
	if size%16 != 0 {
		return 0, fmt.Sprintf("is not what its name says: it has %d bytes, which is no multiple of 16: it was cut short", size), nil
	}
	return 0, "is not what its name says: its bytes have another SHA-256", nil
}

// extra warns about what lies there and is in no manifest: phones do not see it.
func (d *deltaFiles) extra(r *report, known map[string]string) error {
	entries, err := os.ReadDir(d.objects)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // then every file is missing
	}
	if err != nil {
		return &inputError{err: err}
	}
	var extra []string
	for _, e := range entries {
		if _, ok := known[e.Name()]; !ok {
			extra = append(extra, e.Name())
		}
	}
	if len(extra) > 0 {
		r.add(checkObjects, checkWarning, "%s has %d files that are not in the manifest, such as %.100q", d.objects, len(extra), extra[0])
	}
	return nil
}

// addAll reports problems as failures of a check, the first ones each in a line of
// its own. It returns whether there were any.
func (r *report) addAll(name string, problems []string) bool {
	n := 0
	for _, p := range problems {
		if p == "" {
			continue
		}
		if n++; n <= mostListed {
			r.add(name, checkFailed, "%s", p)
		}
	}
	if n > mostListed {
		r.add(name, checkFailed, "and %d more", n-mostListed)
	}
	return n > 0
}

// verifyFiles decrypts and checks the files whose stored form is at paths, on all
// processors.
func (v *verification) verifyFiles(ctx context.Context, r *report, paths []string) error {
	files := make([]plainFile, len(paths))
	problems := make([]string, len(paths))
	errs := make([]error, len(paths))
	var total atomic.Int64
	work := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range work {
				e := v.delta.entries[i]
				verified, err := v.verifyFile(ctx, paths[i], e, v.maxSize-total.Load())
				var failed *capgo.CheckError
				switch {
				case errors.As(err, &failed):
					problems[i] = fmt.Sprintf("%s: %v", e.FileName, v.explain(failed))
				case err != nil:
					errs[i] = fmt.Errorf("%s could not be verified: %w", paths[i], err)
				default:
					total.Add(verified.Size)
					name, _ := e.Target()
					sig, _, _ := capgo.ParseChecksum(e.FileHash) // was read by the check
					files[i] = plainFile{name, verified.Digest, verified.Size, sig}
				}
			}
		})
	}
	whole := true
	for i := range paths {
		if paths[i] == "" {
			whole = false
			continue
		}
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	workers.Wait()
	for _, err := range append(errs, context.Cause(ctx)) {
		if err != nil {
			return err
		}
	}
	switch {
	case r.addAll(checkFiles, problems):
	case !whole:
		r.add(checkFiles, checkSkipped, "those that are there are good; an earlier check failed for the others")
	case total.Load() > v.maxSize:
		r.add(checkFiles, checkFailed, "all files together have %d bytes, more than the %d of --max-size", total.Load(), v.maxSize)
	default:
		r.files, r.Files = files, len(files)
		r.add(checkFiles, checkOK, "%d files, %d bytes, each decrypts to what was signed", len(files), total.Load())
	}
	return nil
}

func (v *verification) verifyFile(ctx context.Context, stored string, e capgo.ManifestEntry, limit int64) (*capgo.Verified, error) {
	f, err := infile.Open(stored)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return capgo.VerifyFile(v.key, &ctxReader{ctx, f}, e, v.sessionKey, nil, max(limit, 0))
}

// explain adds to a failure what this program knows of it.
func (v *verification) explain(failed *capgo.CheckError) string {
	if errors.Is(failed, capgo.ErrTooLarge) {
		return fmt.Sprintf("%s: with it the app has more than the %d bytes of --max-size", failed.Check, v.maxSize)
	}
	return failed.Error()
}
