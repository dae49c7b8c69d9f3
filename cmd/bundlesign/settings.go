package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/capconfig"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/project"
)

// inProject marks the commands that a release engineer types in the folder of an
// app: they ask the daemon that its bundlesign.yaml names. Those by which people
// give their word do not: a repository must not choose whom an approver talks to.
const inProject = "bundlesign:in-project"

// readsProject marks a command that reads the bundlesign.yaml of a folder by itself,
// and reports what is wrong with it: doctor.
const readsProject = "bundlesign:reads-project"

// ofProject marks a command as one of those that ask the project's daemon.
func ofProject(cmd *cobra.Command) *cobra.Command { return mark(cmd, inProject) }

func mark(cmd *cobra.Command, as string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	cmd.Annotations[as] = "true"
	return cmd
}

// isMarked reports whether the command, or the one it belongs to, is marked.
func isMarked(cmd *cobra.Command, as string) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.Annotations[as] != "" {
			return true
		}
	}
	return false
}

// variable is the name of the environment variable that stands for a flag.
func variable(flag string) string {
	return "BUNDLESIGN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// projectSettings are what bundlesign.yaml says for the profile that was chosen.
type projectSettings struct {
	project.Settings
	dir  string // the project's folder: of bundlesign.yaml or else as projectFolder says
	file string // bundlesign.yaml, or ""
}

// settings reads bundlesign.yaml, once. Where there is none all settings are empty.
func (a *app) settings() (*projectSettings, error) {
	if a.project != nil {
		return a.project, nil
	}
	name, from := a.profile, "--profile"
	if name == "" {
		name, from = a.getenv(variable("profile")), variable("profile")
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("the current folder: %w", err)
	}
	p, err := project.Find(dir)
	if err != nil {
		return nil, &inputError{err: err}
	}
	if p == nil {
		if name != "" {
			return nil, &inputError{
				err:  fmt.Errorf("%s: found no bundlesign.yaml in %s or above it, which could have a profile %q", from, dir, name),
				hint: "go to the folder of the project, or say it all with flags",
			}
		}
		a.project = &projectSettings{dir: projectFolder(dir)}
		return a.project, nil
	}
	s, err := p.Settings(name)
	if err != nil {
		return nil, &inputError{err: err}
	}
	a.project = &projectSettings{Settings: *s, dir: filepath.Dir(p.Path), file: p.Path}
	return a.project, nil
}

// projectFolder is the folder with the capacitor.config that belongs to dir: dir or
// one above it in the same git repository, or else dir itself.
func projectFolder(dir string) string {
	found := ""
	for at := dir; ; at = filepath.Dir(at) {
		if found == "" {
			if config, err := capconfig.Find(at); err == nil && config != "" {
				found = at
			}
		}
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil && found != "" {
			return found
		}
		if at == filepath.Dir(at) {
			return dir // what is above belongs to nobody known
		}
	}
}

// chooseSocket decides which daemon is asked: flag, environment, project, default.
func (a *app) chooseSocket(cmd *cobra.Command) error {
	if a.profile != "" && !isMarked(cmd, readsProject) {
		if !isMarked(cmd, inProject) {
			return &usageError{err: errors.New("--profile: this command takes nothing from bundlesign.yaml; name the daemon with --socket"), command: cmd.CommandPath()}
		}
		if _, err := a.settings(); err != nil {
			return err
		}
	}
	if a.socket == "" {
		a.socket = a.getenv(variable("socket"))
	}
	if a.socket == "" && isMarked(cmd, inProject) {
		s, err := a.settings()
		if err != nil {
			return err
		}
		a.socket = s.Socket
	}
	if a.socket == "" {
		a.socket = client.DefaultSocket
	}
	return nil
}

// setting is what the project says for a flag.
type setting struct {
	flag   string
	values []string // none: nothing
}

func one(flag, value string) setting {
	if value == "" {
		return setting{flag: flag}
	}
	return setting{flag, []string{value}}
}

// settle gives each flag that was not typed the value of its variable or else
// of the project. What is in the environment wins over the file, a flag over both.
func (a *app) settle(cmd *cobra.Command, from []setting) error {
	for _, s := range from {
		f := cmd.Flags().Lookup(s.flag)
		if f == nil || f.Changed {
			continue
		}
		origin, values := "bundlesign.yaml", s.values
		if text := a.getenv(variable(s.flag)); text != "" {
			origin, values = variable(s.flag), []string{text}
			if f.Value.Type() == "stringArray" {
				values = splitList(text)
			}
		}
		for _, v := range values {
			if err := cmd.Flags().Set(s.flag, v); err != nil {
				return &inputError{err: fmt.Errorf("%s: %w", origin, unwrapFlag(err))}
			}
		}
	}
	return nil
}

// splitList reads several values of one variable: one a line.
func splitList(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// unwrapFlag leaves out the name of the flag, which the user did not type.
func unwrapFlag(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && errors.Unwrap(err) != nil {
		return errors.Unwrap(err)
	}
	return err
}
