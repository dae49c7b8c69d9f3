package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/outfile"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/publish"
)

// publishFlags are the flags of publish.
type publishFlags struct {
	result                string
	app, channel, version string
	url                   string
	key                   keyFlags
	logKey                string
	updateJSON            string
	uploadCommand         bool
	register              bool
	api, apiKeyFile       string
	json                  bool
}

func (a *app) publishCommand() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish --result FILE --url URL",
		Short: "Tell an update server about a signed update",
		Long: `Publishes what "bundlesign sign --json" has made, once it lies where phones
download from: writes the answer of a self-hosted update server, prints the command
of the official CLI that registers the zip, or registers it with Capgo.

Before that the files of the result are verified, as "bundlesign verify" does. App,
channel and version are those that were signed, which the log receipt tells; of a
result without one, such as the official CLI's, they have to be said.

The API key is that of --api-key-file or, as for the official CLI, of CAPGO_TOKEN,
~/.capgo or ./.capgo. It is never on the command line, which every user can read.`,
		Example: `  bundlesign publish --result result.json --url https://cdn.example/shop/1.4.0/ --update-json update.json
  bundlesign publish --result result.json --url https://cdn.example/shop/1.4.0.zip --register`,
		Args: arguments(""),
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return a.publish(cmd, &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.result, "result", "", "`file` with the output of sign --json, - for stdin")
	fl.StringVar(&f.url, "url", "", "`URL` that phones will download from: of the encrypted zip or, with a slash at its end, of the folder (default: that of sign)")
	fl.StringVar(&f.app, "app", "", "app `id`, of a result without a log receipt")
	fl.StringVar(&f.channel, "channel", "", "`channel`, of a result without a log receipt")
	fl.StringVar(&f.version, "version", "", "`version`, of a result without a log receipt")
	f.key.add(cmd)
	fl.StringVar(&f.logKey, "log-key", "", logKeyUsage)
	fl.StringVar(&f.updateJSON, "update-json", "", "`file` to write the answer of a self-hosted update server to")
	fl.BoolVar(&f.uploadCommand, "print-upload-command", false, "print the command of the official CLI that registers the zip and puts it into the channel")
	fl.BoolVar(&f.register, "register", false, "register the zip with the Capgo API")
	fl.StringVar(&f.api, "api", publish.DefaultAPI, "`URL` of the Capgo API (env BUNDLESIGN_API)")
	fl.StringVar(&f.apiKeyFile, "api-key-file", "", "`file` with the API key, - for stdin")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("result") // fails only for a flag that is not there
	cmd.MarkFlagsOneRequired("update-json", "print-upload-command", "register")
	return cmd
}

// published is what publish did, and what --json prints.
type published struct {
	AppID   string `json:"appId"`
	Version string `json:"version"`
	Channel string `json:"channel,omitempty"`
	URL     string `json:"url,omitempty"` // of the encrypted zip
	// Verified tells that the encrypted files were here and are good. The values of
	// the result are in any case.
	Verified       bool   `json:"verified"`
	UpdateJSON     string `json:"updateJson,omitempty"` // name of the file
	UploadCommand  string `json:"uploadCommand,omitempty"`
	Registered     bool   `json:"registered,omitempty"`
	Already        bool   `json:"alreadyRegistered,omitempty"` // before this command
	ChannelCommand string `json:"channelCommand,omitempty"`    // what has phones get it
}

func (a *app) publish(cmd *cobra.Command, f *publishFlags) error {
	p, err := a.preparePublishing(cmd, f)
	if err != nil {
		return err
	}
	out := &published{AppID: p.app, Version: p.version, Channel: p.channel, URL: p.url, Verified: p.verified}
	if f.updateJSON != "" {
		if err := outfile.WriteFile(f.updateJSON, p.updateJSON); err != nil {
			return fmt.Errorf("%s was not written: %w", f.updateJSON, err)
		}
		out.UpdateJSON = f.updateJSON
	}
	if f.uploadCommand {
		out.UploadCommand = publish.UploadCommand(p.app, p.channel, p.version, p.url, p.key.IVSessionKey, p.key.Checksum)
	}
	if f.register {
		if out.Already, err = a.registerBundle(cmd.Context(), f.api, f.apiKeyFile, p.registration()); err != nil {
			return err
		}
		out.Registered = true
		if p.channel != "" {
			out.ChannelCommand = publish.ChannelCommand(p.app, p.channel, p.version)
		}
	}
	if f.json {
		return a.printJSON(out)
	}
	return a.print(out.describe(f.api))
}

// describe is the result for people.
func (p *published) describe(api string) string {
	var t table
	if p.UpdateJSON != "" {
		t.Row("written", p.UpdateJSON)
	}
	if p.Registered {
		what := fmt.Sprintf("%s %s at %s", p.AppID, p.Version, api)
		if p.Already {
			what += ", as it was before"
		}
		t.Row("registered", what)
	}
	text := t.String()
	if p.ChannelCommand != "" {
		text += "\nno phone gets it yet; to put it into the channel:\n" + printableLine(p.ChannelCommand)
	}
	if p.UploadCommand != "" {
		if text != "" {
			text += "\n"
		}
		text += printableLine(p.UploadCommand)
	}
	return text
}

// registerBundle registers a bundle with the Capgo API. The API key is that of the
// file or, if none is named, the one that the official CLI would take.
func (a *app) registerBundle(ctx context.Context, address, keyFile string, r *publish.Registration) (already bool, err error) {
	if err := r.Check(); err != nil {
		return false, &inputError{err: err}
	}
	key, err := a.apiKey(keyFile)
	if err != nil {
		return false, err
	}
	api, err := publish.NewAPI(address, key, "bundlesign/"+version())
	if err != nil {
		return false, &inputError{err: err, hint: "the key is sent over https alone, and to this machine; --api names the address"}
	}
	return api.Register(ctx, r)
}

// apiKey finds the API key. What is read of it shows up nowhere.
func (a *app) apiKey(file string) (key string, err error) {
	const hint = "npx @capgo/cli login writes it; in CI, put it into CAPGO_TOKEN or name a file with --api-key-file"
	if file == "" {
		key, _, err = publish.FindAPIKey(a.getenv, readFile)
		if err != nil {
			return "", &inputError{err: err, hint: hint}
		}
		return key, nil
	}
	var data []byte
	if file == "-" {
		data, err = readAll("stdin", a.stdin)
	} else {
		data, err = readArgument(file)
	}
	if err != nil {
		return "", err
	}
	if key, err = publish.ParseAPIKey(string(data)); err != nil {
		return "", &inputError{err: fmt.Errorf("--api-key-file: %w", err), hint: hint}
	}
	return key, nil
}

// publishCode returns the exit code for an error of registering: what the Capgo API
// says is as if the daemon had said it.
func publishCode(err error) (code int, ok bool) {
	var refused *publish.APIError
	var other *publish.MismatchError
	var lost *publish.LostError
	switch {
	case errors.As(err, &other) && other.Fresh:
		return exitUntrusted, true
	case errors.As(err, &other):
		return exitBadInput, true
	case errors.As(err, &lost):
		return exitUnavailable, true
	case !errors.As(err, &refused):
		return 0, false
	case refused.Denied():
		return exitDenied, true
	case refused.Code == "too_many_requests":
		return exitUnavailable, true
	}
	return exitBadInput, true
}

// readManifest reads the manifest of a delta update that was written, with the
// addresses that its files will have. Without one they are as they were written.
func readManifest(folder, baseURL string) ([]capgo.ManifestEntry, error) {
	data, err := readDocument(filepath.Join(folder, manifestName))
	if err != nil {
		return nil, err
	}
	entries, err := capgo.ParseManifest(data)
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("%s: %w", folder, err)}
	}
	if baseURL == "" {
		return entries, nil
	}
	for i, e := range entries {
		name, err := objectOf(e)
		if err != nil {
			return nil, &inputError{err: err}
		}
		entries[i].DownloadURL = baseURL + objectsFolder + "/" + name
	}
	return entries, nil
}
