package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/webapp"
)

// The checks of what was in the encrypted zip.
const (
	checkZip = "zip"        // phones and people see the same in it
	checkApp = "index_html" // it is a web app
)

// plainZip is a bundle that was decrypted, in a file without a name: nothing is
// left of it whatever happens.
type plainZip struct {
	*os.File
	size int64
	app  *webapp.App // nil if it is no zip that phones would take
}

// runZip does what a phone does with a downloaded zip, and looks into it. The zip
// that it returns is open also if a check has failed.
func (v *verification) runZip(ctx context.Context, r *report) (*plainZip, error) {
	in, err := infile.OpenArgument(v.zip)
	if err != nil {
		return nil, &inputError{err: err}
	}
	defer in.Close()
	plain, err := v.newPlain()
	if err != nil {
		return nil, err
	}
	if err := v.decrypt(ctx, r, in, plain); err != nil {
		_ = plain.Close() // and it is gone
		return nil, err
	}
	return plain, nil
}

// decrypt makes the checks of a phone and, if they all pass, those of what came out.
func (v *verification) decrypt(ctx context.Context, r *report, in io.Reader, plain *plainZip) error {
	w := bufio.NewWriterSize(plain, 256<<10)
	verified, err := capgo.VerifyBundle(v.key, &ctxReader{ctx, in}, v.checksum, v.sessionKey, w)
	if err == nil {
		err = w.Flush()
	}
	var failed *capgo.CheckError
	if err != nil && !errors.As(err, &failed) {
		return fmt.Errorf("%s could not be verified: %w", v.zip, err)
	}
	r.phone(verified, failed)
	if verified == nil {
		r.add(checkZip, checkSkipped, "an earlier check failed")
		return nil
	}
	plain.size = verified.Size
	return v.lookInto(ctx, r, plain)
}

// newPlain makes the file for the plain bundle: beside where it is to go or, if it
// goes nowhere, where temporary files are.
func (v *verification) newPlain() (*plainZip, error) {
	dir := "" // the system's, or that of TMPDIR
	if v.output != "" {
		if err := outfile.Check(v.output); err != nil {
			return nil, &inputError{err: fmt.Errorf("output: %w", err)}
		}
		dir = filepath.Dir(v.output)
	}
	f, err := os.CreateTemp(dir, ".bundlesign-*.zip")
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("a place for the plain bundle: %w", err), hint: "name a folder for it in the variable TMPDIR"}
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &plainZip{File: f}, nil
}

// lookInto checks that the plain bundle is a zip in which a phone sees what a
// person sees, and that the updater finds an app in it.
func (v *verification) lookInto(ctx context.Context, r *report, plain *plainZip) error {
	refused := func(err error) error {
		if ctx.Err() != nil {
			return err
		}
		r.add(checkZip, checkFailed, "%v", err)
		return nil
	}
	app, err := webapp.OpenZip("the plain bundle", plain, plain.size)
	if errors.Is(err, webapp.ErrNoZip) {
		// It is what was signed, and harms nobody.
		r.add(checkZip, checkWarning, "the plain bundle is no zip: phones will not install it")
		return nil
	}
	if err != nil {
		return refused(err)
	}
	// Before anything is unpacked: the sizes are what the zip says, and no file gives
	// more bytes than it says.
	if size := app.Size(); size > v.maxSize {
		r.add(checkZip, checkFailed, "it would unpack to %d bytes, more than the %d of --max-size", size, v.maxSize)
		return nil
	}
	if err := app.Verify(ctx, nil); err != nil {
		return refused(err)
	}
	plain.app = app
	r.add(checkZip, checkOK, "%d files, %d bytes", len(app.Files), app.Size())
	found, err := app.Check(ctx)
	if err != nil {
		return refused(err)
	}
	if found.IndexHTML == "" {
		r.add(checkApp, checkWarning, "phones will not start it: %s", found.IndexProblem)
	} else {
		r.add(checkApp, checkOK, "it is %s", found.IndexHTML)
	}
	if !found.CallsNotifyAppReady {
		r.add("notify_app_ready", checkWarning, "no script calls notifyAppReady: phones would go back to the version before")
	}
	return nil
}

// writeTo writes the plain bundle, whole or not at all.
func (p *plainZip) writeTo(ctx context.Context, target string) error {
	out, err := outfile.Create(target)
	if err != nil {
		return &inputError{err: fmt.Errorf("output: %w", err)}
	}
	defer out.Discard()
	if _, err = io.Copy(out, &ctxReader{ctx, io.NewSectionReader(p, 0, p.size)}); err == nil {
		err = out.Commit()
	}
	if err != nil {
		return fmt.Errorf("%s was not written: %w", target, err)
	}
	return nil
}
