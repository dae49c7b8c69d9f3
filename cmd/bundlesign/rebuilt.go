package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/delta"
)

// rebuilt is a bundle that the person who approves has built, to hold requests
// against. The digest binds the zip; a delta update has hashes of its own, and they
// are compared file by file.
type rebuilt struct {
	path   string
	digest capgo.Digest
	files  []wire.File // those of a delta update
	// noFiles is why there are none.
	noFiles error
}

const bundleUsage = "`folder` or zip that you have built: nothing else is approved"

// rebuild packs a folder, or reads a zip, and hashes the files in it.
func (a *app) rebuild(ctx context.Context, path string) (*rebuilt, error) {
	in, err := openInput(ctx, path, false)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	line := a.newProgress()
	defer line.end()
	r := &rebuilt{path: in.describe()}
	if in.folder {
		line.begin("packing", in.size())
		h := sha256.New()
		if err := in.app.Pack(ctx, writerOnly{h}, line.add); err != nil {
			return nil, appError(err)
		}
		r.digest = capgo.Digest(h.Sum(nil))
	} else {
		line.begin("hashing", in.size())
		if r.digest, err = in.plain.hash(ctx, line.add); err != nil {
			return nil, err
		}
	}
	if in.app == nil {
		r.noFiles = errors.New(in.plain.noZip())
		if in.doubt != nil {
			r.noFiles = in.doubt
		}
		return r, nil
	}
	line.begin("hashing files", 0)
	plan, err := delta.Hash(ctx, in.app, line.add)
	var name *delta.NameError
	switch {
	case errors.As(err, &name), errors.Is(err, delta.ErrNoFiles):
		r.noFiles = err
	case err != nil:
		return nil, appError(err)
	default:
		for _, f := range plan.Files {
			r.files = append(r.files, wire.File{FileName: f.Name, Digest: f.Digest.String()})
		}
	}
	return r, nil
}

// writerOnly hides what else a writer can do.
type writerOnly struct{ io.Writer }

// differs says how a request is not about this bundle: in a line, and file by file
// from this bundle to that of the request, as far as that is known. It says nothing
// if the request is about this bundle, to the byte.
func (r *rebuilt) differs(sig *wire.Signature) (why string, changes []change) {
	if len(sig.Files) > 0 && r.noFiles == nil {
		changes = compareFiles(r.files, sig.Files)
	}
	switch {
	case !strings.EqualFold(r.digest.String(), sig.Digest):
		why = fmt.Sprintf("the digest of %s is %s, and that of the request %s", r.path, r.digest, sig.Digest)
	case count(changes, markSame) < len(changes):
		why = fmt.Sprintf("its zip is %s, but the files of its delta update are others", r.path)
	case len(sig.Files) > 0 && r.noFiles != nil:
		why = fmt.Sprintf("the files of its delta update cannot be compared: %v", r.noFiles)
	}
	return why, changes
}

// same says what it means that nothing differs.
func (r *rebuilt) same(sig *wire.Signature) string {
	if len(sig.Files) == 0 {
		return fmt.Sprintf("this is what you have built: %s has this digest", r.path)
	}
	return fmt.Sprintf("this is what you have built: %s has this digest, and its %d files are those of the delta update", r.path, len(sig.Files))
}

// check has the person approve nothing but what they have built.
func (r *rebuilt) check(a *app, sig *wire.Signature) error {
	why, changes := r.differs(sig)
	if why == "" {
		a.say("%s", r.same(sig))
		return nil
	}
	if err := a.show(changeLines(changes, shownChanges)); err != nil {
		return err
	}
	return &verificationError{
		err:  fmt.Errorf("request %s is not what you have built: %s", sig.ID, why),
		hint: "is it the same commit, with the same versions of the tools? bundlesign show " + sig.ID + " shows its labels; nothing was approved",
	}
}
