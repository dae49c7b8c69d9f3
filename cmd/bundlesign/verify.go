package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
)

// defaultMaxSize is how many bytes an app may have that is verified, unless more
// is allowed: 4 GiB.
const defaultMaxSize = 4 << 30

// verifyFlags are the flags of verify.
type verifyFlags struct {
	checksum, sessionKey string
	result               string
	key                  keyFlags
	output               string
	expectDigest         string
	maxSize              int64
	logKey               string
	json                 bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [ENCRYPTED.zip | FOLDER | update.json]",
		Short: "Check an encrypted update as a phone does",
		Long: `Does what the updater on a phone does with a downloaded update, with the public
key of the app: unwraps the session key, decrypts, opens the checksums, and compares
them with the SHA-256 of what came out. Then it looks for what a phone would trip
over, or be tricked by. No daemon is needed.

It takes an encrypted zip, the folder of a delta update (with manifest.json and
files/), or update.json, which says all by itself: then the zip and the folder lie
beside it, or are named behind it.

--result takes what "bundlesign sign --json" or "npx @capgo/cli bundle encrypt
--json" printed; without an argument, the files that it names are checked, a
relative name as from the current folder. Its log receipt is checked too.

The public key is that of --public-key or --capacitor-config, or else of the project
in the current folder.`,
		Example: `  bundlesign verify --result result.json
  bundlesign verify release/update.json --public-key public.pem
  bundlesign verify release/delta --result result.json --capacitor-config capacitor.config.ts`,
		Args: arguments("[ENCRYPTED.zip|FOLDER|update.json] [ENCRYPTED.zip|FOLDER] [ENCRYPTED.zip|FOLDER]"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd, args, &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.result, "result", "", "`file` with the output of sign --json, - for stdin")
	fl.StringVar(&f.checksum, "checksum", "", "signed `checksum` of the update, hex or base64")
	fl.StringVar(&f.sessionKey, "session-key", "", "session_key of the update: `iv:key`, both base64")
	f.key.add(cmd)
	fl.StringVar(&f.output, "output", "", "`file` to write the plain bundle to, if all checks pass")
	fl.StringVar(&f.expectDigest, "expect-digest", "", "SHA-256 in `hex` that the plain bundle must have")
	fl.Int64Var(&f.maxSize, "max-size", defaultMaxSize, "how many `bytes` the app may have, all files together")
	fl.StringVar(&f.logKey, "log-key", "", logKeyUsage)
	fl.BoolVar(&f.json, "json", false, "print JSON")
	cmd.MarkFlagsRequiredTogether("checksum", "session-key")
	cmd.MarkFlagsMutuallyExclusive("result", "checksum")
	cmd.MarkFlagsMutuallyExclusive("result", "session-key")
	return cmd
}

// verification is what verify has to go by.
type verification struct {
	checksum, sessionKey string
	result               *signResult   // nil without --result
	update               *capgo.Update // nil without update.json
	zip                  string        // the encrypted zip, or "" if there is none to check
	noZip                string        // why there is none; "" if that needs no reason
	delta                *deltaFiles   // nil if there is none
	bad                  *check        // why it ends before it begins

	key      *capgo.PublicKey
	logKey   note.Verifier
	expected *capgo.Digest
	output   string
	maxSize  int64
}

func (a *app) verify(cmd *cobra.Command, args []string, f *verifyFlags) error {
	if err := a.settleVerify(cmd, f); err != nil {
		return err
	}
	v, err := f.load(a, args)
	if err != nil {
		return err
	}
	r, err := v.run(cmd.Context())
	if err != nil {
		return err
	}
	failed := r.failed()
	if f.json && failed == nil {
		return a.printJSON(r)
	}
	if !f.json {
		if err := a.print(r.String()); err != nil {
			return err
		}
	}
	return failed
}

// settleVerify takes from the project what was not typed and cannot be wrong for
// another reason than that it is.
func (a *app) settleVerify(cmd *cobra.Command, f *verifyFlags) error {
	p, err := a.settings()
	if err != nil {
		return err
	}
	var from []setting
	if f.key.capacitor == "" {
		from = append(from, one("public-key", p.PublicKey))
	}
	if f.result != "" {
		from = append(from, one("log-key", p.LogKey))
	}
	return a.settle(cmd, from)
}

// begin reads the keys, and what is known without looking at a file of the update.
func (f *verifyFlags) begin(a *app) (v *verification, err error) {
	v = &verification{checksum: f.checksum, sessionKey: f.sessionKey, output: f.output, maxSize: f.maxSize}
	if f.maxSize <= 0 {
		return nil, &inputError{err: fmt.Errorf("--max-size: found %d, want more than 0", f.maxSize)}
	}
	pinned, err := a.appKey(&f.key, "")
	if err != nil {
		return nil, err
	}
	if pinned == nil {
		return nil, &inputError{
			err:  errors.New("found no public key of the app: neither --public-key nor --capacitor-config, and here is no project"),
			hint: "give the key that the app carries; bundlesign keys NAME --pem prints the daemon's",
		}
	}
	v.key = pinned.key
	if f.result != "" {
		result, err := a.readResult(f.result)
		if err != nil {
			return nil, err
		}
		v.result = &result
		k := result.of(v.key)
		v.checksum, v.sessionKey = k.Checksum, k.IVSessionKey
	} else if f.logKey != "" {
		return nil, &inputError{err: errors.New("--log-key: there is no log receipt without --result")}
	}
	if v.logKey, err = parseLogKey(f.logKey); err != nil {
		return nil, err
	}
	if f.expectDigest != "" {
		d, err := capgo.ParseDigest(f.expectDigest)
		if err != nil {
			return nil, &inputError{err: fmt.Errorf("--expect-digest: %w", err)}
		}
		v.expected = &d
	}
	return v, nil
}

// load reads everything that the flags and arguments name.
func (f *verifyFlags) load(a *app, args []string) (*verification, error) {
	v, err := f.begin(a)
	if err != nil {
		return nil, err
	}
	if err := v.find(args); err != nil {
		return nil, err
	}
	if v.bad == nil && v.sessionKey == "" {
		return nil, &usageError{err: errors.New("found no checksum and no session key: want update.json, --result, or --checksum and --session-key"), command: "bundlesign verify"}
	}
	if v.output != "" && v.zip == "" && v.bad == nil {
		return nil, &inputError{err: errors.New("--output: there is no zip to decrypt")}
	}
	return v, nil
}

// run makes all checks. The plain bundle gets its name only if all have passed.
func (v *verification) run(ctx context.Context) (*report, error) {
	r := &report{KeyID: v.key.KeyID(), key: v.key}
	if v.bad != nil {
		r.Checks = append(r.Checks, *v.bad)
		return r, nil
	}
	if v.update != nil {
		r.add("update", checkOK, "update.json is version %s", v.update.Version)
		r.sameAsResult(v)
	}
	var plain *plainZip
	var err error
	if v.zip != "" {
		if plain, err = v.runZip(ctx, r); err != nil {
			return nil, err
		}
		defer plain.Close()
	} else {
		if v.noZip != "" {
			r.add("zip", checkSkipped, "%s", v.noZip)
		}
		r.signed(v)
	}
	if v.delta != nil {
		if err := v.runDelta(ctx, r, plain); err != nil {
			return nil, err
		}
	}
	if v.expected != nil {
		r.expected(*v.expected)
	}
	r.log(v)
	if v.output != "" && r.failed() == nil {
		if err := plain.writeTo(ctx, v.output); err != nil {
			return nil, err
		}
		r.Output = v.output
	}
	return r, nil
}
