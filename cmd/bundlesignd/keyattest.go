package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/signer"
)

// evidenceFile is the name of what bundlesignd itself says in an attestation.
const evidenceFile = "evidence.json"

// attestation is evidence.json.
type attestation struct {
	Name        string        `json:"name"`
	URI         string        `json:"uri"`
	KeyID       string        `json:"key_id"`
	Fingerprint string        `json:"fingerprint"`
	PublicKey   string        `json:"public_key"` // PKCS#1 PEM
	Custody     *wire.Custody `json:"custody"`
	TakenAt     time.Time     `json:"taken_at"`
	// Log and LogEntry are the transparency log and the entry of it that says that
	// this was taken.
	Log      string `json:"log"`
	LogEntry int64  `json:"log_entry"`
	// Files are the statements of the backend beside this file, which others can
	// check; none if it makes none.
	Files []string `json:"files"`
}

func newKeyAttestCommand(flags *keyFlags) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "attest NAME --out FOLDER",
		Short: "Write down where a key lives, with the backend's own statements",
		Long: `Write into a folder what shows where a private key lives: evidence.json with what
the backend showed, and, where the backend signs statements about its keys, those and the
certificates to check them with. Nothing is signed with the key.

Files are never overwritten. That it was done is in the transparency log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return &usageError{errors.New("--out: found nothing, want the folder to write to")}
			}
			return attestKey(cmd, flags, args[0], out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` to write to; made if it is not there (required)")
	flags.addYes(cmd)
	return cmd
}

func attestKey(cmd *cobra.Command, flags *keyFlags, name, dir string) (err error) {
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	if _, err := configured(cfg, name); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return &usageError{fmt.Errorf("--out: found %s with something in it, want an empty folder or none", dir)}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &usageError{fmt.Errorf("--out: %w", err)}
	}
	plan := []string{fmt.Sprintf("What shows where key %q lives is asked of its backend and written to %s. Nothing is signed.", name, dir), inLog}
	if err := confirm(cmd, flags.yes, plan); err != nil {
		return err
	}
	ctx, end := interruptible(cmd)
	defer end()
	log := keyLogger(cmd)
	set, err := openBackends(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	ring, err := openKeys(set, cfg)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(ring, func(k signer.KeyConfig) bool { return k.Name == name })
	a := &attesting{key: &ring[i], dir: dir, log: cfg.Log.VerifierKey}
	if err := withDesk(ctx, cfg, log, func(d desk) error { return a.run(ctx, d) }); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(a.wrote, "\n"))
	return err
}

// attesting is an attestation that is being taken.
type attesting struct {
	key   *signer.KeyConfig
	dir   string
	log   string
	wrote []string // paths
}

// run takes it, between the two entries of the log.
func (a *attesting) run(ctx context.Context, d desk) error {
	entry := wire.KeyOperation{
		Action: string(audit.KeyAttest), Key: a.key.Name, URI: a.key.Replicas[0].URI, Fingerprint: a.key.Pin.Fingerprint(),
	}
	_, _, err := between(ctx, d, entry, func(ctx context.Context, ended *wire.KeyOperation) error {
		custody, err := a.take(ctx, *ended.Begun)
		ended.Custody = wireCustody(custody)
		return err
	})
	return err
}

// take asks each replica, the first for the folder itself, others for folders
// in it that are called by their number.
func (a *attesting) take(ctx context.Context, entry int64) (first *signer.Custody, err error) {
	for i, r := range a.key.Replicas {
		dir := a.dir
		if i > 0 {
			dir = filepath.Join(a.dir, fmt.Sprintf("replica-%d", i))
		}
		custody, err := a.takeOne(ctx, r, dir, entry)
		if err != nil {
			return first, fmt.Errorf("%s: %w", r.URI, err)
		}
		if first == nil {
			first = custody
		}
	}
	return first, nil
}

func (a *attesting) takeOne(ctx context.Context, r signer.Replica, dir string, entry int64) (*signer.Custody, error) {
	custody, err := look(ctx, r.Key, a.key.Pin, signer.Software)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if attester, ok := r.Key.(backends.Attester); ok {
		if files, err = attester.Attest(ctx); err != nil {
			return nil, err
		}
	}
	w := wireKey(a.key)
	evidence, err := indentJSON(&attestation{
		Name: w.Name, URI: r.URI, KeyID: w.KeyID, Fingerprint: w.Fingerprint, PublicKey: w.PublicKey,
		Custody: wireCustody(custody), TakenAt: time.Now().UTC().Truncate(time.Second),
		Log: a.log, LogEntry: entry, Files: slices.AppendSeq([]string{}, maps.Keys(files)),
	})
	if err != nil {
		return nil, err
	}
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	// evidence.json last: where it is, what it names is too.
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(name) || strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, ".") || name == evidenceFile {
			return nil, fmt.Errorf("the backend calls a statement %q, want a plain name of a file", name)
		}
		if err := a.write(filepath.Join(dir, name), files[name]); err != nil {
			return nil, err
		}
	}
	return custody, a.write(filepath.Join(dir, evidenceFile), evidence)
}

// makeFolder makes a folder for everybody to read, whatever the umask. One that is
// there stays as it is.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func (a *attesting) write(path string, data []byte) error {
	if err := writeNew(path, data); err != nil {
		return err
	}
	a.wrote = append(a.wrote, path)
	return nil
}
