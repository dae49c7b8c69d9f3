package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// encryptedSuffix is what the official CLI adds to the name of a bundle.
const encryptedSuffix = "_encrypted.zip"

// signFlags are the flags of sign.
type signFlags struct {
	app, channel, version string
	format                string
	labels                []string
	keyName               string
	output                string
	key                   keyFlags
	logKey                string
	wait                  time.Duration
	noWait                bool
	idempotencyKey        string
	breakGlass            string
	token                 tokenFlags
	json                  bool
}

func (a *app) signCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign BUNDLE.zip --app ID --channel C --version V",
		Short: "Have a bundle signed, and encrypt it",
		Long: `Hashes BUNDLE.zip, asks bundlesignd to sign it, waits until it is signed, checks
every part of the answer, and writes the encrypted bundle. Only the hash goes to
the daemon. Asked again, the same request is answered with the same signature.

With --json, stdout has what "npx @capgo/cli bundle encrypt --json" prints, and
the proof that the signature is in the audit log.`,
		Args: arguments("BUNDLE.zip"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.sign(cmd.Context(), args[0], &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.app, "app", "", "app `id`, such as com.acme.shop")
	fl.StringVar(&f.channel, "channel", "", "`channel` that the bundle is for, such as production")
	fl.StringVar(&f.version, "version", "", "semantic `version` of the bundle, such as 1.4.0")
	fl.StringVar(&f.format, "format", string(capgo.FormatHex), "`form` of the checksum: hex, or legacy for updaters before 5.30.0, 6.30.0 and 7.30.0")
	fl.StringArrayVar(&f.labels, "label", nil, "`name=value` for the record, such as commit=1a2b3c; may be repeated")
	fl.StringVar(&f.output, "output", "", "`file` to write (default BUNDLE.zip"+encryptedSuffix+")")
	fl.StringVar(&f.keyName, "key", "", "`name` of the key to sign with, if the app has several (default: the one for requests that name none)")
	f.key.add(cmd)
	fl.StringVar(&f.logKey, "log-key", "", logKeyUsage)
	fl.DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for approvals and for a daemon that is busy")
	fl.BoolVar(&f.noWait, "no-wait", false, "do not wait for approvals: take the daemon's first answer")
	fl.StringVar(&f.idempotencyKey, "idempotency-key", "", "own `name` of this request: used again, it gives the same record whatever became of it")
	fl.StringVar(&f.breakGlass, "break-glass", "", "it is an emergency: ask the rules for those, and say why in this `text`; one line")
	f.token.add(cmd)
	fl.BoolVar(&f.json, "json", false, "print JSON")
	for _, name := range []string{"app", "channel", "version"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	cmd.MarkFlagsMutuallyExclusive("wait", "no-wait")
	return cmd
}

// signResult is what sign --json prints: the three members of the official CLI,
// in its order, then ours.
type signResult struct {
	Checksum     string        `json:"checksum"`
	Filename     string        `json:"filename"`
	IVSessionKey string        `json:"ivSessionKey"`
	KeyID        string        `json:"keyId"`
	RequestID    string        `json:"requestId"`
	Log          *wire.Receipt `json:"log"`
}

func (a *app) sign(ctx context.Context, name string, f *signFlags) error {
	sub, err := f.submission()
	if err != nil {
		return err
	}
	expect := client.Expect{Submit: sub}
	if expect.PublicKey, err = f.key.load(); err != nil {
		return err
	}
	if expect.LogKey, err = parseLogKey(f.logKey); err != nil {
		return err
	}
	b, err := openBundle(name)
	if err != nil {
		return err
	}
	defer b.Close()
	target := f.output
	if target == "" {
		target = name + encryptedSuffix
	}
	if err := checkTarget(b, target); err != nil {
		return err
	}
	if doubt, err := b.doubt(); err != nil {
		return err
	} else if doubt != "" {
		a.say("warning: %s", doubt)
	}
	digest, err := b.hash(ctx)
	if err != nil {
		return err
	}
	sub.Digest = digest.String()

	answer, err := a.submit(ctx, sub, f)
	if err != nil {
		return err
	}
	signed, err := client.CheckSigned(answer, expect)
	if err != nil {
		return err
	}
	aesKey, err := signed.PublicKey.Unwrap(signed.Wrapped)
	if err != nil {
		return err
	}
	defer aesKey.Forget()
	size, err := b.encryptTo(ctx, target, digest, aesKey, signed.Wrapped.IV)
	if err != nil {
		return err
	}
	if f.json {
		err = a.printJSON(&signResult{
			Checksum: signed.Checksum, Filename: target, IVSessionKey: signed.Wrapped.String(),
			KeyID: signed.PublicKey.KeyID(), RequestID: answer.ID, Log: answer.Log,
		})
	} else {
		err = a.print(describeSigned(answer, signed, target, size))
	}
	var undelivered *undeliveredError
	if errors.As(err, &undelivered) {
		undelivered.written = target
	}
	return err
}

// submission is what is asked, but for the digest.
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
	for _, l := range f.labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, &inputError{err: fmt.Errorf("--label: found %q, want name=value", l)}
		}
		if _, dup := sub.Labels[k]; dup {
			return nil, &inputError{err: fmt.Errorf("--label: found %q twice, want each name once", k)}
		}
		if sub.Labels == nil {
			sub.Labels = make(map[string]string)
		}
		sub.Labels[k] = v
	}
	return sub, nil
}

// checkTarget finds out before a signature is made whether its result can be
// written.
func checkTarget(b *bundle, target string) error {
	if err := outfile.Check(target); err != nil {
		return &inputError{err: fmt.Errorf("output: %w", err), hint: "choose another place with --output"}
	}
	in, err := b.file.Stat()
	if err != nil {
		return err
	}
	if out, err := os.Stat(target); err == nil && os.SameFile(in, out) {
		return &inputError{err: errors.New("the output is the bundle itself"), hint: "choose another name with --output"}
	}
	return nil
}

// submit asks for the signature, and waits for it as long as the user wants.
func (a *app) submit(ctx context.Context, sub *wire.Submit, f *signFlags) (*wire.Signature, error) {
	token, err := a.token(f.token.file)
	if err != nil {
		return nil, err
	}
	c := a.client(client.WithToken(token))
	defer c.Close()
	if !f.noWait {
		ctx, cancel := context.WithTimeout(ctx, f.wait)
		defer cancel()
		return c.SubmitAndWait(ctx, sub, f.idempotencyKey)
	}
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	answer, err := c.Submit(ctx, sub, f.idempotencyKey)
	if err != nil {
		return nil, err
	}
	if answer.State == client.StatePending || answer.State == client.StateAuthorized {
		return nil, &client.PendingError{Signature: answer}
	}
	return answer, nil
}

// describeSigned is the result for people.
func describeSigned(answer *wire.Signature, signed *client.Signed, target string, size int64) string {
	var t table
	t.Row("signed", fmt.Sprintf("%s %s for channel %s", answer.AppID, answer.Version, answer.Channel))
	t.Row("request", fmt.Sprintf("%s, allowed by rule %q", answer.ID, answer.Rule))
	t.Row("key", fmt.Sprintf("%s, %s", answer.Key, signed.PublicKey.Fingerprint()))
	if c := answer.Custody; c != nil {
		t.Row("custody", fmt.Sprintf("%s (%s)", c.Level, c.Backend))
	}
	t.Row("log", fmt.Sprintf("entry %d", signed.Receipt.Index))
	t.Row("written", fmt.Sprintf("%s (%d bytes before encryption)", target, size))
	return t.String() + "\nfor the update server:\n" + updateAnswer(answer.Version, signed.Checksum, signed.Wrapped.String())
}

// updateAnswer is the members of the self-hosted update answer that signing
// gives.
func updateAnswer(version, checksum, sessionKey string) string {
	var t table
	t.Row("version", version)
	t.Row("checksum", checksum)
	t.Row("session_key", sessionKey)
	return t.String()
}
