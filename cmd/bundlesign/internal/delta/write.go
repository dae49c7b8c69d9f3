package delta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bundlesign/bundlesign/capgo"
)

// Target is one delta update to be written: a folder, and what one key has signed.
type Target struct {
	// Dir is the folder to write. An earlier result in it is replaced; a folder
	// with anything else in it is refused.
	Dir string
	Key *capgo.SessionKey
	IV  capgo.IV
	// Hashes are the signed hashes, in the order of [Plan.Files].
	Hashes []string
	// BaseURL is the https address below which Dir will be, with or without a "/"
	// at its end. If it is "" the addresses in the manifest are relative to it.
	BaseURL string
}

// Options change how a delta update is written.
type Options struct {
	// NoBrotli are patterns of files that are stored uncompressed: "*.wasm" for
	// such files in any folder, "assets/*" for those in one, "assets/**" for all
	// below it.
	NoBrotli []string
}

// CheckOptions says what is wrong with the options, if anything.
func CheckOptions(o Options) error { return globs(o.NoBrotli).check() }

// CheckBaseURL says what is wrong with a [Target.BaseURL], if anything.
func CheckBaseURL(base string) error {
	if base == "" {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(base, "#") {
		return fmt.Errorf("found the address %.200q, want one such as https://updates.example.com/app/1.4.0/, without ? and #: phones refuse plain http", base)
	}
	return nil
}

// Written is a delta update that stands in its folder.
type Written struct {
	Dir      string
	Manifest []capgo.ManifestEntry // in the order of the plan
	Bytes    int64                 // of all stored files
}

// Write prepares delta updates and gives them their names.
func (p *Plan) Write(ctx context.Context, targets []Target, o Options, progress func(bytes int64)) ([]*Written, error) {
	prepared, err := p.Prepare(ctx, targets, o, progress)
	if err != nil {
		return nil, err
	}
	defer prepared.Discard()
	if err := prepared.Commit(); err != nil {
		return nil, err
	}
	return prepared.Updates, nil
}

// Prepared are delta updates that are whole and on disk, and have no names yet.
type Prepared struct {
	Updates []*Written // as they will be, in the order of the targets
	folders []*folder
}

// Prepare makes a delta update for each target. Every file is read again, and the
// update refused with an error that has webapp.ErrChanged in its chain if one is
// not what was planned; it is compressed once and encrypted for each target.
// Progress is told of the plain bytes that are done, as by [Hash]. Memory is
// bounded, whatever the size and number of the files.
//
// [Prepared.Commit] gives the updates their names; [Prepared.Discard], which does
// nothing after it, takes them back.
func (p *Plan) Prepare(ctx context.Context, targets []Target, o Options, progress func(bytes int64)) (_ *Prepared, err error) {
	if err := p.check(targets, o); err != nil {
		return nil, err
	}
	out := &Prepared{folders: make([]*folder, len(targets))}
	defer func() {
		if err != nil {
			out.Discard()
		}
	}()
	for i, t := range targets {
		if out.folders[i], err = newFolder(t, len(p.Files)); err != nil {
			return nil, notWritten(t, err)
		}
	}
	if err := p.fill(ctx, out.folders, o, oneAtATime(progress)); err != nil {
		return nil, err
	}
	for _, f := range out.folders {
		if err := f.finish(p); err != nil {
			return nil, notWritten(f.target, err)
		}
		out.Updates = append(out.Updates, &Written{f.target.Dir, f.manifest, f.bytes})
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

// Commit gives the updates their names, one after the other. After an error there
// is nothing new, unless it says so.
func (p *Prepared) Commit() error {
	for _, f := range p.folders {
		if err := f.dir.Commit(); err != nil {
			return notWritten(f.target, err)
		}
	}
	return nil
}

// Discard removes what has no name yet.
func (p *Prepared) Discard() {
	for _, f := range p.folders {
		f.discard()
	}
}

func notWritten(t Target, err error) error {
	return fmt.Errorf("delta update %s was not written: %w", t.Dir, err)
}

// check refuses what cannot be before anything is read or written.
func (p *Plan) check(targets []Target, o Options) error {
	if len(targets) == 0 || len(p.Files) == 0 || len(p.sources) != len(p.Files) {
		return errors.New("delta: found no target or no plan to write")
	}
	if err := CheckOptions(o); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, t := range targets {
		dir, err := filepath.Abs(t.Dir)
		if err != nil {
			return err
		}
		if seen[dir] {
			return fmt.Errorf("delta: %s is to be written twice", t.Dir)
		}
		seen[dir] = true
		if len(t.Hashes) != len(p.Files) {
			return fmt.Errorf("delta: found %d signed hashes for %d files", len(t.Hashes), len(p.Files))
		}
		for i, h := range t.Hashes {
			if _, _, err := capgo.ParseChecksum(h); err != nil {
				return fmt.Errorf("delta: hash of %s: %w", p.Files[i].Name, err)
			}
		}
		if err := CheckBaseURL(t.BaseURL); err != nil {
			return fmt.Errorf("delta: base URL: %w", err)
		}
	}
	return nil
}

// jobs are the different contents, the largest first: then no core is left alone
// with a large one in the end.
func (p *Plan) jobs(o Options) []*job {
	type key struct {
		digest capgo.Digest
		form   form
	}
	byKey := make(map[key]*job, len(p.Files))
	var jobs []*job
	for i, f := range p.Files {
		k := key{f.Digest, formOf(f, o.NoBrotli)}
		j := byKey[k]
		if j == nil {
			j = &job{file: p.sources[i], digest: f.Digest, form: k.form}
			byKey[k] = j
			jobs = append(jobs, j)
		}
		j.files = append(j.files, i)
	}
	slices.SortStableFunc(jobs, func(a, b *job) int { return cmp.Compare(b.file.Size, a.file.Size) })
	return jobs
}

// fill does all the jobs, on all cores.
func (p *Plan) fill(ctx context.Context, folders []*folder, o Options, progress func(int64)) error {
	scratch, err := os.MkdirTemp(folders[0].dir.Path(), "scratch-")
	if err != nil {
		return notWritten(folders[0].target, err)
	}
	c := newCompressor(p.inMemory)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, j := range p.jobs(o) {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			s, err := c.prepare(each, j, scratch, progress)
			if err != nil {
				return err
			}
			defer s.discard()
			for _, f := range folders {
				if err := f.put(each, j, s, p); err != nil {
					return err
				}
			}
			progress(int64(len(j.files)-1) * j.file.Size)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return os.Remove(scratch)
}
