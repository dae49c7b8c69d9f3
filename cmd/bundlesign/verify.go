package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	checksum, sessionKey string
	result               string
	key                  keyFlags
	output               string
	expectDigest         string
	logKey               string
	json                 bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [ENCRYPTED.zip] (--result FILE | --checksum C --session-key S) (--public-key FILE | --capacitor-config FILE)",
		Short: "Check an encrypted bundle as a phone does",
		Long: `Does what the updater on a phone does with a downloaded bundle, with the public
key of the app: unwraps the session key, decrypts, opens the checksum, and compares
it with the SHA-256 of what came out. No daemon is needed.

--result takes what "bundlesign sign --json" or "npx @capgo/cli bundle encrypt
--json" printed; without ENCRYPTED.zip, the file that it names is checked, a
relative name as from the current folder. Its log receipt is checked too.`,
		Args: arguments("[ENCRYPTED.zip]"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args, &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.result, "result", "", "`file` with the output of sign --json, - for stdin")
	fl.StringVar(&f.checksum, "checksum", "", "signed `checksum` of the update, hex or base64")
	fl.StringVar(&f.sessionKey, "session-key", "", "session_key of the update: `iv:key`, both base64")
	f.key.add(cmd)
	fl.StringVar(&f.output, "output", "", "`file` to write the plain bundle to, if all checks pass")
	fl.StringVar(&f.expectDigest, "expect-digest", "", "SHA-256 in `hex` that the plain bundle must have")
	fl.StringVar(&f.logKey, "log-key", "", logKeyUsage)
	fl.BoolVar(&f.json, "json", false, "print JSON")
	cmd.MarkFlagsRequiredTogether("checksum", "session-key")
	cmd.MarkFlagsOneRequired("result", "checksum")
	cmd.MarkFlagsMutuallyExclusive("result", "checksum")
	cmd.MarkFlagsMutuallyExclusive("result", "session-key")
	cmd.MarkFlagsOneRequired("public-key", "capacitor-config")
	return cmd
}

// verification is what verify has to go by.
type verification struct {
	file     string
	result   signResult
	key      *capgo.PublicKey
	logKey   note.Verifier
	expected *capgo.Digest
	output   string
}

// load reads everything that the flags name.
func (f *verifyFlags) load(a *app, args []string) (v *verification, err error) {
	v = &verification{output: f.output}
	if f.result != "" {
		if v.result, err = a.readResult(f.result); err != nil {
			return nil, err
		}
		v.file = v.result.Filename
	} else {
		v.result.Checksum, v.result.IVSessionKey = f.checksum, f.sessionKey
		if f.logKey != "" {
			return nil, &inputError{err: errors.New("--log-key: there is no log receipt without --result")}
		}
	}
	if len(args) > 0 {
		v.file = args[0]
	}
	if v.file == "" {
		return nil, &inputError{err: errors.New("found no file to verify"), hint: "name the encrypted bundle: bundlesign verify ENCRYPTED.zip ..."}
	}
	if v.key, err = f.key.load(); err != nil {
		return nil, err
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

// readResult reads what sign --json printed.
func (a *app) readResult(name string) (signResult, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = readAll("stdin", a.stdin)
	} else {
		data, err = readFile(name)
	}
	if err != nil {
		return signResult{}, err
	}
	var both struct {
		signResult
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(data, &both); err != nil {
		return signResult{}, &inputError{err: fmt.Errorf("result %s: %w", name, err)}
	}
	if both.Checksum == "" || both.IVSessionKey == "" {
		err := fmt.Errorf("result %s: found no checksum or no ivSessionKey, want what sign --json printed", name)
		if both.Detail != "" {
			err = fmt.Errorf("result %s: it is an error, not a signature: %s", name, both.Detail)
		}
		return signResult{}, &inputError{err: err}
	}
	return both.signResult, nil
}

func (a *app) verify(ctx context.Context, args []string, f *verifyFlags) error {
	v, err := f.load(a, args)
	if err != nil {
		return err
	}
	in, err := os.Open(v.file)
	if err != nil {
		hint := ""
		if len(args) == 0 {
			hint = "the name in the result is as from the folder where it was signed; name the file: bundlesign verify ENCRYPTED.zip ..."
		}
		return &inputError{err: err, hint: hint}
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil && info.IsDir() {
		return &inputError{err: fmt.Errorf("%s is a folder, want an encrypted bundle", v.file)}
	}
	report, err := v.run(ctx, in)
	if err != nil {
		return err
	}
	failed := report.failed()
	if f.json && failed == nil {
		return a.printJSON(report)
	}
	if !f.json {
		if err := a.print(report.String()); err != nil {
			return err
		}
	}
	return failed
}

// run makes all checks. The plain bundle gets its name only if all have passed.
func (v *verification) run(ctx context.Context, in *os.File) (*report, error) {
	r := &report{KeyID: v.key.KeyID(), key: v.key}
	var plain *outfile.File
	var verified *capgo.Verified
	var err error
	if v.output != "" {
		if plain, err = outfile.Create(v.output); err != nil {
			return nil, &inputError{err: fmt.Errorf("output: %w", err)}
		}
		defer plain.Discard()
		w := bufio.NewWriterSize(plain, 256<<10)
		verified, err = capgo.VerifyBundle(v.key, &ctxReader{ctx, in}, v.result.Checksum, v.result.IVSessionKey, w)
		err = errors.Join(err, w.Flush())
	} else {
		verified, err = capgo.VerifyBundle(v.key, &ctxReader{ctx, in}, v.result.Checksum, v.result.IVSessionKey, nil)
	}
	var failed *capgo.CheckError
	if err != nil && !errors.As(err, &failed) {
		return nil, fmt.Errorf("%s could not be verified: %w", v.file, err)
	}
	r.phone(verified, failed)
	if v.expected != nil {
		r.expected(verified, *v.expected)
	}
	r.log(v, verified)
	if plain != nil && r.failed() == nil {
		if err := plain.Commit(); err != nil {
			return nil, fmt.Errorf("%s was not written: %w", v.output, err)
		}
		r.Output = v.output
	}
	return r, nil
}
