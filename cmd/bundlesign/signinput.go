package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/delta"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// input is what is signed: a folder, which is packed, or a zip, which stays as it
// is.
type input struct {
	path   string
	folder bool
	app    *webapp.App // nil of a file that is no zip that phones would take
	doubt  error       // why it is none
	plain  *bundle     // nil until a folder is packed
	digest capgo.Digest
	plan   *delta.Plan // of a delta update
}

// openInput opens a folder or a zip. A delta update needs to see its files.
func openInput(ctx context.Context, path string, wantsFiles bool) (*input, error) {
	in := &input{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, bundleError(path, err)
	}
	if info.IsDir() {
		in.folder = true
		if in.app, err = webapp.OpenFolder(ctx, path); err != nil {
			return nil, appError(err)
		}
		return in, nil
	}
	if in.plain, err = openBundle(path); err != nil {
		return nil, err
	}
	zip, err := in.plain.isZip()
	if err == nil && zip {
		if info, err = in.plain.file.Stat(); err == nil {
			in.app, in.doubt = webapp.OpenZip(path, in.plain.file, info.Size())
		}
	}
	if err == nil && wantsFiles && in.app == nil {
		err = &inputError{err: errors.New(in.plain.noZip()), hint: "a delta update is made from a folder or from a zip"}
		if in.doubt != nil {
			err = &inputError{err: in.doubt}
		}
	}
	if err != nil {
		_ = in.Close() // it was only read
		return nil, err
	}
	return in, nil
}

func (in *input) Close() error {
	if in.plain == nil {
		return nil
	}
	return in.plain.Close()
}

// size is how many bytes the files have, or the zip.
func (in *input) size() (n int64) {
	if in.app != nil && in.plain == nil {
		for _, f := range in.app.Files {
			n += f.Size
		}
		return n
	}
	if info, err := in.plain.file.Stat(); err == nil {
		n = info.Size()
	}
	return n
}

// read packs and hashes the bundle, says what a phone would not like about it and
// what its digest is, and puts the digests into the submission.
func (s *signing) read(ctx context.Context) error {
	// What is looked for is found, or not, while the bytes are hashed.
	checking, stop := context.WithCancel(ctx)
	defer stop()
	found := make(chan error, 1)
	go func() { found <- s.check(checking) }()

	err := s.hash(ctx)
	if err != nil {
		stop()
	}
	if checkErr := <-found; err == nil {
		err = checkErr
	}
	if err == nil && s.f.wantsDelta() {
		err = s.planDelta(ctx)
	}
	if err != nil {
		return err
	}
	s.progress.end()
	s.sub.Digest = s.in.digest.String()
	s.say("SHA-256 of %s: %s", s.in.describe(), s.in.digest)
	if s.f.expectDigest == "" {
		return nil
	}
	want, err := capgo.ParseDigest(s.f.expectDigest)
	if err != nil {
		return &inputError{err: fmt.Errorf("--expect-digest: %w", err)}
	}
	if want != s.in.digest {
		return &inputError{err: fmt.Errorf("--expect-digest: %s has the SHA-256 %s, want %s; nothing was asked for", s.in.path, s.in.digest, want)}
	}
	return nil
}

func (in *input) describe() string {
	if in.folder {
		return "the zip of " + in.path
	}
	return in.path
}

// hash finds the digest of the zip. A folder is packed into one that has no name,
// so that nothing is left of it whatever happens.
func (s *signing) hash(ctx context.Context) (err error) {
	if !s.in.folder {
		s.progress.begin("hashing", s.in.size())
		s.in.digest, err = s.in.plain.hash(ctx, s.progress.add)
		return err
	}
	s.progress.begin("packing", s.in.size())
	file, err := nameless(existing(s.out.folder))
	if err != nil {
		return err
	}
	h := newSideHash(sha256.New())
	err = s.in.app.Pack(ctx, io.MultiWriter(file, h), s.progress.add)
	s.in.digest = capgo.Digest(h.Sum())
	s.in.plain = &bundle{file, s.in.path}
	return appError(err)
}

// nameless makes a file in dir that is gone when it is closed.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".bundlesign-*.zip")
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("a place for the zip: %w", err), hint: "choose another place with --output"}
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// check looks for what the updater needs. In a folder that was named index.html
// must be there; about a zip, which is signed as it is, there are warnings.
func (s *signing) check(ctx context.Context) error {
	in := s.in
	switch {
	case in.app == nil && in.doubt != nil:
		s.say("warning: %v", in.doubt)
		return nil
	case in.app == nil:
		s.say("warning: %s", in.plain.noZip())
		return nil
	case s.f.noCodeCheck:
		return nil
	}
	found, err := in.app.Check(ctx)
	if err != nil {
		if in.folder || ctx.Err() != nil {
			return appError(err)
		}
		s.say("warning: %v", err)
		return nil
	}
	if in.folder && found.IndexHTML == "" {
		return &inputError{
			err:  fmt.Errorf("%s has no index.html where the updater looks for it: %s", filepath.Clean(in.path), found.IndexProblem),
			hint: "name the folder with the built app, such as dist or www; --no-code-check signs it as it is",
		}
	}
	if s.f.wantsDelta() && found.IndexHTML != "" && found.IndexHTML != "index.html" {
		return &inputError{
			err:  fmt.Errorf("%s has its index.html at %s: the updater takes the folder around it away from a zip, and not from a delta update", in.path, found.IndexHTML),
			hint: "name the folder with index.html itself, or a zip that has it at the top",
		}
	}
	if empty := slices.ContainsFunc(in.app.Files, func(f webapp.File) bool { return f.Name == found.IndexHTML && f.Size == 0 }); empty && (in.folder || s.f.wantsDelta()) {
		return &inputError{err: fmt.Errorf("%s: %s has 0 bytes", in.path, found.IndexHTML), hint: "is the app built? --no-code-check signs it as it is"}
	}
	for _, text := range appWarnings(in.app, found) {
		s.say("warning: %s", text)
	}
	return nil
}

// planDelta hashes every file.
func (s *signing) planDelta(ctx context.Context) (err error) {
	s.progress.begin("hashing files", 0)
	if s.in.plan, err = delta.Hash(ctx, s.in.app, s.progress.add); err != nil {
		return deltaError(err)
	}
	if out := s.in.plan.Skipped; len(out) > 0 {
		s.say("left out of the delta update: %d files, such as %s", len(out), out[0])
	}
	for _, f := range s.in.plan.Files {
		s.sub.Files = append(s.sub.Files, wire.SubmitFile{FileName: f.Name, Digest: f.Digest.String()})
	}
	return nil
}

// deltaError says what can be done about an app or a place that a delta update cannot
// be made of, or in.
func deltaError(err error) error {
	var name *delta.NameError
	switch {
	case errors.As(err, &name):
		return &inputError{err: err, hint: "rename the file, or have it left out of the build"}
	case errors.Is(err, delta.ErrNoFiles):
		return &inputError{err: err, hint: "is the app built? empty files and some names are left out"}
	case errors.Is(err, outfile.ErrOccupied), errors.Is(err, fs.ErrExist):
		return &inputError{err: err, hint: "choose another place with --output"}
	}
	return appError(err)
}
