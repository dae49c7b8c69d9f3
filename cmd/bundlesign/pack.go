package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// packFlags are the flags of pack.
type packFlags struct {
	output       string
	expectDigest string
	json         bool
}

func (a *app) packCommand() *cobra.Command {
	var f packFlags
	cmd := &cobra.Command{
		Use:   "pack DIR",
		Short: "Pack a built web app into the zip that is signed, and tell its digest",
		Long: `Packs the folder DIR with a built web app into a zip, as "bundlesign sign DIR"
does, and prints its SHA-256. The same files give the same zip wherever they are
packed by the same release of bundlesign: a second person can build the app again
and compare digests before approving.

Without --output no zip is kept: only its digest is told.`,
		Args: arguments("DIR"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.pack(cmd.Context(), args[0], &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.output, "output", "", "`file` to write the zip to, outside of DIR")
	fl.StringVar(&f.expectDigest, "expect-digest", "", "the SHA-256 in `hex` that the zip must have: otherwise nothing is written, and the exit code is 2")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// packResult is what pack --json prints.
type packResult struct {
	Digest   string   `json:"digest"` // SHA-256 of the zip
	Filename string   `json:"filename,omitempty"`
	Bytes    int64    `json:"bytes"` // of the zip
	Files    int      `json:"files"`
	Skipped  []string `json:"skipped,omitempty"` // what was left out
}

func (a *app) pack(ctx context.Context, dir string, f *packFlags) error {
	var want *capgo.Digest
	if f.expectDigest != "" {
		d, err := capgo.ParseDigest(f.expectDigest)
		if err != nil {
			return &inputError{err: fmt.Errorf("--expect-digest: %w", err)}
		}
		want = &d
	}
	folder, err := openFolder(ctx, dir)
	if err != nil {
		return err
	}
	to, err := createZip(dir, f.output)
	if err != nil {
		return err
	}
	defer to.Discard()
	result, err := a.packTo(ctx, to, folder)
	if err != nil {
		return err
	}
	if want != nil && result.Digest != want.String() {
		return &inputError{
			err:  fmt.Errorf("--expect-digest: the zip of %s has the SHA-256 %s, want %s", dir, result.Digest, want),
			hint: "was it built from the same commit, with the same tools, and packed by the same release of bundlesign?",
		}
	}
	if err := to.Commit(); err != nil {
		return fmt.Errorf("%s was not written: %w", f.output, err)
	}
	result.Filename = f.output
	if f.json {
		err = a.printJSON(result)
	} else {
		err = a.print(result.describe())
	}
	var undelivered *undeliveredError
	if errors.As(err, &undelivered) {
		undelivered.written = f.output
	}
	return err
}

// openFolder opens the folder of a web app.
func openFolder(ctx context.Context, dir string) (*webapp.App, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, bundleError(dir, err)
	}
	if !info.IsDir() {
		return nil, &inputError{
			err:  fmt.Errorf("%s is no folder, want the one with the built app, such as dist or www", dir),
			hint: "a zip is signed as it is: bundlesign sign takes it",
		}
	}
	folder, err := webapp.OpenFolder(ctx, dir)
	return folder, appError(err)
}

// appError says what can be done about an app that cannot be read as one.
func appError(err error) error {
	var (
		file  *webapp.FileError
		doubt *webapp.DoubtError
	)
	switch {
	case errors.Is(err, webapp.ErrChanged):
		return &inputError{err: err, hint: "let the build finish, then try again"}
	case errors.As(err, &file), errors.As(err, &doubt):
		return &inputError{err: err}
	}
	return err
}

// packTo packs an app, and says what phones would not like about it.
func (a *app) packTo(ctx context.Context, to io.Writer, folder *webapp.App) (*packResult, error) {
	line := a.newProgress()
	defer line.end()
	line.begin("packing", folder.Size())
	digest := sha256.New()
	var size byteCount
	if err := folder.Pack(ctx, io.MultiWriter(to, digest, &size), line.add); err != nil {
		return nil, fmt.Errorf("nothing was packed: %w", appError(err))
	}
	line.end()
	found, err := folder.Check(ctx)
	if err != nil {
		return nil, appError(err)
	}
	for _, text := range appWarnings(folder, found) {
		a.say("warning: %s", text)
	}
	return &packResult{
		Digest: capgo.Digest(digest.Sum(nil)).String(), Bytes: int64(size),
		Files: len(folder.Files), Skipped: folder.Skipped,
	}, nil
}

// appWarnings is what a phone, or the person at another computer, would not like about
// an app.
func appWarnings(folder *webapp.App, found *webapp.Findings) (texts []string) {
	if found.IndexHTML == "" {
		texts = append(texts, fmt.Sprintf("%s has no index.html where the updater looks for it: %s", folder.Path, found.IndexProblem))
	}
	if !found.CallsNotifyAppReady {
		texts = append(texts, fmt.Sprintf("no script in %s calls notifyAppReady: phones would go back to the version before", folder.Path))
	}
	for _, pair := range found.Alike {
		texts = append(texts, fmt.Sprintf("%s has %q and %q: a file system that does not tell capitals from small letters keeps one of the two", folder.Path, pair[0], pair[1]))
	}
	return texts
}

func (r *packResult) describe() string {
	var t table
	t.Row("digest", r.Digest)
	t.Row("zip", fmt.Sprintf("%d bytes, %d files", r.Bytes, r.Files))
	if len(r.Skipped) > 0 {
		t.Row("left out", strings.Join(r.Skipped, ", "))
	}
	if r.Filename != "" {
		t.Row("written", r.Filename)
	}
	return t.String()
}

// packOutput is where the zip goes.
type packOutput interface {
	io.Writer
	Commit() error
	Discard()
}

// createZip makes the output, or what takes its place where there is none.
func createZip(dir, output string) (packOutput, error) {
	if output == "" {
		return nowhere{io.Discard}, nil
	}
	inside, err := isInside(filepath.Dir(output), dir)
	if err != nil {
		return nil, bundleError(output, err)
	}
	if inside {
		return nil, &inputError{
			err:  fmt.Errorf("--output: %s is in the folder that is packed", output),
			hint: "the next zip would have this one in it: choose a place outside",
		}
	}
	f, err := outfile.Create(output)
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("output: %w", err), hint: "choose another place with --output"}
	}
	return f, nil
}

// isInside tells whether the folder dir is parent or below it, whatever links there are.
func isInside(dir, parent string) (bool, error) {
	for _, path := range []*string{&dir, &parent} {
		real, err := filepath.EvalSymlinks(*path)
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return false, err
		}
		*path = real
	}
	rel, err := filepath.Rel(parent, dir)
	return err == nil && filepath.IsLocal(rel), nil
}

// nowhere keeps nothing.
type nowhere struct{ io.Writer }

func (nowhere) Commit() error { return nil }

func (nowhere) Discard() {}

// byteCount counts what is written to it.
type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}
