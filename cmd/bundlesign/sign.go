package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
)

// encryptedSuffix is what the official CLI adds to the name of a bundle.
const encryptedSuffix = "_encrypted.zip"

// signFlags are the flags of sign.
type signFlags struct {
	app, channel, version string
	format                string
	labels                []string
	keyName               string
	alsoKeys              []string
	output                string
	key                   keyFlags
	logKey                string
	delta, deltaOnly      bool
	noBrotli              []string
	url                   string
	register              registerFlags
	noCodeCheck           bool
	expectDigest          string
	wait                  time.Duration
	noWait                bool
	resume                string
	idempotencyKey        string
	breakGlass            string
	token                 tokenFlags
	json                  bool
}

func (a *app) signCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign [BUNDLE] --app ID --channel C --version V",
		Short: "Have a web app signed, and encrypt it",
		Long: `Packs BUNDLE if it is a folder, hashes it, asks bundlesignd to sign it, waits until
it is signed, checks every part of the answer against the key that the app carries,
and writes the encrypted bundle and, with --delta, a delta update. Only hashes go
to the daemon. Asked again, the same request is answered with the same signature.

In a project with a bundlesign.yaml, that says what is not on the command line; so
do environment variables, such as BUNDLESIGN_CHANNEL for --channel.

With --json, stdout has what "npx @capgo/cli bundle encrypt --json" prints, and
the proof that the signature is in the audit log.`,
		Example: `  bundlesign sign
  bundlesign sign dist --app com.acme.shop --channel production --version 1.4.0 --delta
  bundlesign sign app.zip --app com.acme.shop --channel production --version 1.4.0 --json`,
		Args: arguments("[BUNDLE]"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.sign(cmd, args, &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.app, "app", "", "app `id`, such as com.acme.shop")
	fl.StringVar(&f.channel, "channel", "", "`channel` that the bundle is for, such as production")
	fl.StringVar(&f.version, "version", "", "semantic `version` of the bundle, such as 1.4.0")
	fl.StringVar(&f.format, "format", "", "`form` of the checksum: hex, or legacy for updaters before 5.30.0, 6.30.0 and 7.30.0 (default: what the project's updater takes, or hex)")
	fl.StringArrayVar(&f.labels, "label", nil, "`name=value` for the record, such as commit=1a2b3c; may be repeated")
	fl.StringVar(&f.output, "output", "", "`file` or, with a slash at its end, folder to write (default BUNDLE.zip"+encryptedSuffix+")")
	fl.StringVar(&f.keyName, "key", "", "`name` of the key to sign with, if the app has several (default: the one for requests that name none)")
	fl.StringArrayVar(&f.alsoKeys, "also-key", nil, "`NAME=FILE[,FORM]`: sign the same request with this key too, whose public half is in FILE; may be repeated")
	f.key.add(cmd)
	fl.StringVar(&f.logKey, "log-key", "", logKeyUsage)
	fl.BoolVar(&f.delta, "delta", false, "make a delta update, too: every file signed, compressed and encrypted by itself")
	fl.BoolVar(&f.deltaOnly, "delta-only", false, "make a delta update, and no encrypted zip")
	fl.StringArrayVar(&f.noBrotli, "no-brotli", nil, "`pattern` of files of a delta update that are not to be compressed; may be repeated")
	fl.StringVar(&f.url, "url", "", "`URL` that phones will download from: of the encrypted zip or, with a slash at its end, of the folder; writes update.json")
	f.register.add(cmd)
	fl.BoolVar(&f.noCodeCheck, "no-code-check", false, "do not look for index.html and notifyAppReady")
	fl.StringVar(&f.expectDigest, "expect-digest", "", "ask for nothing unless the plain bundle has this SHA-256 in `hex`")
	fl.DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for approvals and for a daemon that is busy")
	fl.BoolVar(&f.noWait, "no-wait", false, "do not wait for approvals: print the request's id, and exit with 4")
	fl.StringVar(&f.resume, "resume", "", "go on with the request of this `id`, which was made before with the same bundle")
	fl.StringVar(&f.idempotencyKey, "idempotency-key", "", "own `name` of this request: used again, it gives the same record whatever became of it")
	fl.StringVar(&f.breakGlass, "break-glass", "", "it is an emergency: ask the rules for those, and say why in this `text`; one line")
	f.token.add(cmd)
	fl.BoolVar(&f.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("wait", "no-wait")
	cmd.MarkFlagsMutuallyExclusive("delta", "delta-only")
	for _, asked := range []string{"idempotency-key", "break-glass", "label"} {
		cmd.MarkFlagsMutuallyExclusive("resume", asked)
	}
	return cmd
}

// signing is one run of sign.
type signing struct {
	*app
	f        *signFlags
	progress *progress
	sub      *wire.Submit
	expect   client.Expect
	also     []rotatedKey
	in       *input
	out      *layout
	earlier  *wire.Signature // with --resume: the request as it was found
}

func (a *app) sign(cmd *cobra.Command, args []string, f *signFlags) error {
	ctx := cmd.Context()
	s := &signing{app: a, f: f, progress: a.newProgress()}
	defer s.progress.end()
	path, err := s.prepare(cmd, args)
	if err != nil {
		return err
	}
	if f.resume != "" {
		if err := s.begun(ctx); err != nil {
			return err
		}
	}
	// Before anything is read that takes long: a typing error should be told at once.
	if err := s.checkChannel(); err != nil {
		return err
	}
	if err := s.pinKey(); err != nil {
		return err
	}
	if err := s.checkPublishing(); err != nil {
		return err
	}
	if s.in, err = openInput(ctx, path, f.wantsDelta()); err != nil {
		return err
	}
	defer s.in.Close()
	if s.out, err = s.newLayout(); err != nil {
		return err
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	answer, err := s.ask(ctx)
	if err != nil {
		return err
	}
	signed, err := client.CheckSigned(answer, s.expect)
	if err != nil {
		return err
	}
	result, err := s.write(ctx, answer, signed)
	if err != nil {
		return err
	}
	if f.register.wanted {
		if err := s.register(ctx, result); err != nil {
			return err
		}
	}
	s.progress.end()
	return s.report(answer, signed, result)
}

func (f *signFlags) wantsDelta() bool { return f.delta || f.deltaOnly }

// prepare finds out what is asked, and of whom, and returns the path of the bundle.
func (s *signing) prepare(cmd *cobra.Command, args []string) (path string, err error) {
	project, err := s.settings()
	if err != nil {
		return "", err
	}
	if err := s.settle(cmd, signSettings(project, s.f.key.capacitor != "")); err != nil {
		return "", err
	}
	if path, err = s.complete(project, args); err != nil {
		return "", err
	}
	if s.sub, err = s.f.submission(); err != nil {
		return "", err
	}
	s.expect.Submit = s.sub
	if err := s.addKeys(); err != nil {
		return "", err
	}
	s.expect.LogKey, err = parseLogKey(s.f.logKey)
	return path, err
}

// checkChannel refuses a channel that the profile is not for.
func (s *signing) checkChannel() error {
	project, err := s.settings()
	if err != nil {
		return err
	}
	if c := project.Channels; len(c) > 0 && !slices.Contains(c, s.sub.Channel) {
		return &inputError{
			err:  fmt.Errorf("channel: found %q, and the profile %q is for %v", s.sub.Channel, project.Profile, c),
			hint: "choose another profile with --profile",
		}
	}
	return nil
}

// pinKey finds out which key the app carries.
func (s *signing) pinKey() error {
	pinned, err := s.appKey(&s.f.key, s.sub.AppID)
	if err != nil {
		return err
	}
	if pinned == nil {
		s.say("warning: nothing here says which key the app carries, so the answer is only checked against the daemon's own; give --public-key or --capacitor-config")
		return nil
	}
	s.expect.PublicKey = pinned.key
	return nil
}

// addKeys reads --also-key.
func (s *signing) addKeys() error {
	for _, text := range s.f.alsoKeys {
		k, err := parseRotatedKey(text)
		if err != nil {
			return err
		}
		if s.f.keyName == "" {
			return &inputError{err: errors.New("--also-key needs --key: with two keys each is named")}
		}
		s.also = append(s.also, k)
		s.sub.Also = append(s.sub.Also, wire.AlsoKey{Key: k.name, ChecksumFormat: string(k.format)})
		s.expect.AlsoKeys = append(s.expect.AlsoKeys, k.key)
	}
	return nil
}

// submission is what is asked, but for the digests.
func (f *signFlags) submission() (*wire.Submit, error) {
	format, err := capgo.ParseChecksumFormat(f.format)
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("--format: %w", err)}
	}
	if f.wait <= 0 {
		return nil, &inputError{err: fmt.Errorf("--wait: found %v, want more than 0", f.wait), hint: "--no-wait takes the first answer"}
	}
	if f.idempotencyKey != "" {
		if err := client.CheckIdempotencyKey(f.idempotencyKey); err != nil {
			return nil, &inputError{err: err}
		}
	}
	sub := &wire.Submit{AppID: f.app, Channel: f.channel, Version: f.version, ChecksumFormat: string(format), Key: f.keyName, BreakGlass: f.breakGlass}
	if sub.Labels, err = parseLabels(f.labels); err != nil {
		return nil, err
	}
	return sub, nil
}

// ask has the request signed: a new one, or the one that is resumed.
func (s *signing) ask(ctx context.Context) (*wire.Signature, error) {
	token, err := s.token(s.f.token.file)
	if err != nil {
		return nil, err
	}
	c := s.client(client.WithToken(token))
	defer c.Close()
	if s.f.resume != "" {
		return s.resumed(ctx, c)
	}
	if s.f.noWait {
		ctx, cancel := context.WithTimeout(ctx, briefly)
		defer cancel()
		answer, err := c.Submit(ctx, s.sub, s.f.idempotencyKey)
		if err != nil {
			return nil, err
		}
		return s.first(answer)
	}
	waiting, cancel := context.WithTimeout(ctx, s.f.wait)
	defer cancel()
	answer, err := c.SubmitAndWait(waiting, s.sub, s.f.idempotencyKey)
	if err != nil && ctx.Err() != nil {
		return nil, s.interrupted(c, err)
	}
	return answer, err
}

// first is for those who do not wait: the answer is there, or its id is printed.
func (s *signing) first(answer *wire.Signature) (*wire.Signature, error) {
	if answer.State != client.StatePending && answer.State != client.StateAuthorized {
		return answer, nil
	}
	if !s.f.json {
		if err := s.print(printableLine(answer.ID)); err != nil {
			return nil, err
		}
	}
	return nil, &client.PendingError{Signature: answer}
}
