package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// sameApp compares a delta update with the zip of the same update: a phone that
// takes one must end up with what another makes of the other.
func (r *report) sameApp(ctx context.Context, plain *plainZip) error {
	inZip := make(map[string]*webapp.File)
	var zipOnly []string // what no delta update has
	for i, f := range plain.app.Files {
		if in, _ := capgo.InDelta(f.Name, f.Size); in {
			inZip[f.Name] = &plain.app.Files[i]
		} else {
			zipOnly = append(zipOnly, f.Name)
		}
	}
	problems := make([]string, 0, len(r.files))
	for _, f := range r.files {
		zipped, ok := inZip[f.name]
		if !ok {
			problems = append(problems, f.name+": is not in the zip")
			continue
		}
		delete(inZip, f.name)
		digest, err := digestOf(ctx, zipped)
		if err != nil {
			return err
		}
		if digest != f.digest {
			problems = append(problems, f.name+": has another content in the zip")
		}
	}
	for _, f := range plain.app.Files { // in their order, so that the report is always the same
		if inZip[f.Name] != nil {
			problems = append(problems, f.Name+": is in the zip, and not in the manifest")
		}
	}
	switch {
	case r.addAll(checkNames, problems):
	case len(zipOnly) > 0:
		r.add(checkNames, checkOK, "the manifest has the files of the zip, but for %d that no delta update has, such as %.100q", len(zipOnly), zipOnly[0])
	default:
		r.add(checkNames, checkOK, "the manifest has the files of the zip")
	}
	return nil
}

func digestOf(ctx context.Context, f *webapp.File) (capgo.Digest, error) {
	in, err := f.Open()
	if err != nil {
		return capgo.Digest{}, err
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &ctxReader{ctx, in}); err != nil {
		return capgo.Digest{}, fmt.Errorf("%s in the plain bundle: %w", f.Name, err)
	}
	return capgo.Digest(h.Sum(nil)), nil
}
