package leftover

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Bounds of a search in a history.
const (
	maxBlob    = 64 << 10 // bytes; what is longer is not looked at
	maxObjects = 500_000
	maxRead    = 4 << 30 // bytes of all blobs together
)

// Why a history was not searched.
var (
	ErrNoGit        = errors.New("found no git program")
	ErrNoRepository = errors.New("not in a git repository")
)

// History is what was found in a repository.
type History struct {
	Keys     []Key
	Blobs    int  // that were read
	Shallow  bool // the clone has not all of the history
	Complete bool // there was not too much of it
}

// InHistory searches every blob that a commit, a stash, the reflog or the index of the repository around dir has.
func InHistory(ctx context.Context, dir string) (*History, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whatever still runs ends
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, ErrNoGit
	}
	g := &repository{git, dir}
	out, err := g.run(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		if strings.Contains(err.Error(), "not a git repository") {
			return nil, ErrNoRepository
		}
		return nil, err
	}
	h := &History{Shallow: strings.TrimSpace(string(out)) == "true"}
	blobs, err := g.list(ctx, h)
	if err != nil {
		return nil, err
	}
	return h, g.search(ctx, blobs, h)
}

// repository is one that may be hostile: its own configuration must not make git run anything.
type repository struct{ git, dir string }

// command is git, with what keeps it from running programs, talking to anybody, and believing what hides a part
// of the history. Only plumbing is used, which shows no signatures and no differences, and has no hooks or pagers.
func (g *repository) command(ctx context.Context, args ...string) *exec.Cmd {
	safe := []string{
		"--no-pager", "--no-optional-locks", "--no-replace-objects", "--literal-pathspecs",
		"-c", "core.fsmonitor=false",
		"-c", "core.hooksPath=/dev/null",
		"-c", "core.commitGraph=false",
		"-c", "safe.bareRepository=explicit",
		"-c", "protocol.allow=never",
	}
	cmd := exec.CommandContext(ctx, g.git, append(safe, args...)...)
	cmd.Dir = g.dir
	for _, v := range os.Environ() {
		// The user's own configuration counts; another repository does not.
		if !strings.HasPrefix(v, "GIT_") || strings.HasPrefix(v, "GIT_CONFIG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		"LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_NO_LAZY_FETCH=1",     // what a partial clone lacks is not fetched
		"GIT_ALLOW_PROTOCOL=none", // nor by older releases of git, whatever protocol.*.allow of the repository says
	)
	return cmd
}

func (g *repository) run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := g.command(ctx, args...).Output()
	return out, gitError(ctx, args[0], err)
}

// gitError is what git said of its failure, one line of it.
func gitError(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		line, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
		return fmt.Errorf("git %s: %w: %s", what, err, line)
	}
	return fmt.Errorf("git %s: %w", what, err)
}

// blob is one to look at.
type blob struct{ id, name string }

// list returns the small blobs of the repository.
func (g *repository) list(ctx context.Context, h *History) ([]blob, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := g.command(ctx, "rev-list", "--objects", "--all", "--reflog", "--indexed-objects",
		"--filter=object:type=blob", fmt.Sprintf("--filter=blob:limit=%d", maxBlob), "--missing=allow-any")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var blobs []blob
	h.Complete = true
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, name, named := strings.Cut(lines.Text(), " ")
		if !named || !isID(id) {
			continue // a commit
		}
		if len(blobs) == maxObjects {
			h.Complete = false
			cancel()
			break
		}
		blobs = append(blobs, blob{id, name})
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil && h.Complete {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			exit.Stderr = stderr.Bytes()
		}
		return nil, gitError(ctx, "rev-list", err)
	}
	return blobs, lines.Err()
}

// isID reports whether s is an object's id and nothing that git could take for something else.
func isID(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// search reads the blobs, through one process.
func (g *repository) search(ctx context.Context, blobs []blob, h *History) error {
	if len(blobs) == 0 {
		return nil
	}
	cmd := g.command(ctx, "cat-file", "--batch", "--buffer")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		w := bufio.NewWriter(in)
		for _, b := range blobs {
			_, _ = w.WriteString(b.id + "\n") // git that is gone is noticed by who reads from it
		}
		_ = w.Flush()
		_ = in.Close()
	}()
	err = readBatch(bufio.NewReaderSize(out, 256<<10), blobs, h)
	if err != nil {
		_ = cmd.Process.Kill() // it may be blocked on what is not read
	}
	<-written
	if waited := cmd.Wait(); err == nil {
		err = waited
	}
	return gitError(ctx, "cat-file", err)
}

// readBatch reads what cat-file --batch prints: a line for each object, then, if it is there, its bytes and a newline.
func readBatch(r *bufio.Reader, blobs []blob, h *History) error {
	var total int64
	buf := make([]byte, maxBlob+1)
	for _, b := range blobs {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading object %s: %w", b.id, err)
		}
		if line == b.id+" missing\n" {
			continue
		}
		var id, kind string
		var size int64
		if _, err := fmt.Sscanf(line, "%s %s %d\n", &id, &kind, &size); err != nil || id != b.id || size < 0 {
			return fmt.Errorf("object %s: found the answer %q", b.id, line)
		}
		total += size
		if kind != "blob" || size > maxBlob || total > maxRead {
			if total > maxRead {
				h.Complete = false
			}
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return err
			}
			continue
		}
		if _, err := io.ReadFull(r, buf[:size+1]); err != nil {
			return fmt.Errorf("reading object %s: %w", b.id, err)
		}
		h.Blobs++
		for _, k := range scan(buf[:size]) {
			k.Where, k.Object = b.name, b.id
			h.Keys = append(h.Keys, k)
		}
	}
	return nil
}
