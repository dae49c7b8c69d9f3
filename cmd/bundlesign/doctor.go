package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/project"
)

// maxSearch is how long each part of a project is searched for keys, and the bundle
// read. A hostile project can be made to take for ever.
const maxSearch = 2 * time.Minute

// unhealthyError is a project in which the doctor found something wrong. The report
// that was printed says what.
type unhealthyError struct{ failed int }

func (e *unhealthyError) Error() string {
	if e.failed == 1 {
		return "a check FAILED"
	}
	return fmt.Sprintf("%d checks FAILED", e.failed)
}

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	offline     bool
	packageJSON string
	json        bool
}

func (a *app) doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [DIR]",
		Short: "Check the project of an app",
		Long: `Checks the project of an app, in DIR or the current folder: which key its
configuration has and whether the daemon has it, which updater, private keys that
were left behind in files or in the git history, the project file, the built bundle.

Nothing in the project is run or changed, and no private key is shown. The exit code
is 0 if no check FAILED, else 6.`,
		Args: arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A broken bundlesign.yaml is a finding, not the end.
			explicit := a.socket != "" || a.getenv(variable("socket")) != ""
			return a.runE(func(cmd *cobra.Command, args []string) error {
				dir := "."
				if len(args) > 0 {
					dir = args[0]
				}
				return a.doctor(cmd.Context(), dir, explicit, &f)
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&f.offline, "offline", false, "do not ask the daemon")
	cmd.Flags().StringVar(&f.packageJSON, "package-json", "", "the app's package.json `file`, or several with commas between them, as from DIR (default: the one in DIR)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// patient is a project that is examined, and what is known of it so far.
type patient struct {
	app   *app
	ctx   context.Context
	flags *doctorFlags
	dir   string

	explicit bool // the socket was named on the command line or in the environment
	config   *capconfig.Config
	key      *capgo.PublicKey   // that the app carries
	known    []*capgo.PublicKey // that the daemon has
	settings *project.Settings

	findings []finding
}

// finding is the outcome of one check.
type finding struct {
	Name   string `json:"name"`
	Result string `json:"result"` // "ok", "FAILED", "warning" or "not checked"
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"`
}

// add records a finding; do, if not empty, is what to do about it.
func (p *patient) add(name, result, do, format string, args ...any) {
	p.findings = append(p.findings, finding{name, result, fmt.Sprintf(format, args...), do})
}

func (a *app) doctor(ctx context.Context, dir string, explicit bool, f *doctorFlags) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(abs); err != nil {
		return &inputError{err: err}
	} else if !info.IsDir() {
		return &inputError{err: fmt.Errorf("%s is no folder, want that of an app", dir)}
	}
	p := &patient{app: a, ctx: ctx, flags: f, dir: abs, explicit: explicit}
	for _, check := range []func(){
		p.checkProject, p.checkConfig, p.checkKey, p.checkNative, p.checkDaemon, p.checkPin, p.checkUpdater,
		p.checkV1, p.checkFiles, p.checkHistory, p.checkBundle,
	} {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		check()
	}
	return p.report()
}

// report prints the findings.
func (p *patient) report() error {
	failed, warnings := 0, 0
	for _, f := range p.findings {
		switch f.Result {
		case checkFailed:
			failed++
		case checkWarning:
			warnings++
		}
	}
	var err error
	if p.flags.json {
		err = p.app.printJSON(struct {
			OK     bool      `json:"ok"` // no check FAILED
			Dir    string    `json:"dir"`
			Checks []finding `json:"checks"`
		}{failed == 0, p.dir, p.findings})
	} else {
		err = p.app.print(p.String())
	}
	if err == nil && failed > 0 {
		err = &unhealthyError{failed}
	}
	return err
}

// String is the report for people.
func (p *patient) String() string {
	var t table
	for _, f := range p.findings {
		t.Row(f.Result, f.Name, f.Found)
		if f.Do != "" {
			t.Row("", "", "-> "+f.Do)
		}
	}
	return t.String()
}

// ask calls f with a client of the daemon that this project asks.
func (p *patient) ask(f func(ctx context.Context, c *client.Client) error) error {
	if !p.explicit && p.settings != nil && p.settings.Socket != "" {
		p.app.socket = p.settings.Socket
	}
	ctx, cancel := context.WithTimeout(p.ctx, briefly)
	defer cancel()
	c := p.app.client()
	defer c.Close()
	return f(ctx, c)
}

// checkProject reads bundlesign.yaml.
func (p *patient) checkProject() {
	const name = project.Name
	found, err := project.Find(p.dir)
	if err != nil {
		var faults project.Errors
		if !errors.As(err, &faults) {
			p.add(name, checkFailed, "", "%v", err)
			return
		}
		for _, e := range faults {
			p.add(name, checkFailed, "", "%v", e)
		}
		return
	}
	profile := p.app.profile
	if profile == "" {
		profile = p.app.getenv(variable("profile"))
	}
	switch {
	case found == nil && profile != "":
		p.add(name, checkFailed, "docs/releases.md has one to begin with", "there is none, which could have a profile %q", profile)
		return
	case found == nil:
		p.add(name, checkSkipped, "docs/releases.md has one to begin with", "there is none; sign takes flags")
		return
	}
	s, err := found.Settings(profile)
	if err != nil {
		result := checkWarning
		if profile != "" { // that one was asked for
			result = checkFailed
		}
		p.add(name, result, "set profile: NAME in it, or choose one: bundlesign doctor --profile NAME", "%v", err)
		return
	}
	p.settings = s
	text := found.Path
	if s.Profile != "" {
		text += ", profile " + s.Profile
	}
	p.add(name, checkOK, "", "%s", text)
}
