package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/client"
	"github.com/bundlesign/bundlesign/cmd/bundlesign/internal/infile"
)

// tokenVariable is the environment variable with the token of a CI job. GitLab
// puts an ID token into any variable that a job names.
const tokenVariable = "BUNDLESIGN_ID_TOKEN"

// maxTokenFile is the longest file that is read, in bytes: the client refuses
// tokens far shorter.
const maxTokenFile = 1 << 20

// tokenFlags say where the OIDC ID token of a CI job is. It is never on the
// command line, which every user of the machine can read.
type tokenFlags struct{ file string }

func (f *tokenFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "token-file", "", "`file` (- is stdin) with the OIDC ID token of this CI job (env "+tokenVariable+": the token itself)")
}

// token returns the token of this job, or "" if it has none.
func (a *app) token(file string) (string, error) {
	text, from := a.getenv(tokenVariable), tokenVariable
	if file != "" {
		from = "--token-file"
		data, err := a.readFileOrStdin(file, maxTokenFile)
		if err != nil {
			return "", &inputError{err: fmt.Errorf("--token-file: %w", err)}
		}
		text = string(data)
	}
	text = strings.TrimSpace(text)
	if text == "" && file == "" {
		return "", nil
	}
	if err := client.CheckToken(text); err != nil {
		return "", &inputError{err: fmt.Errorf("%s: %w", from, err)}
	}
	return text, nil
}

// readFileOrStdin reads a file, or stdin if its name is "-".
func (a *app) readFileOrStdin(name string, most int64) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := infile.OpenArgument(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("found more than %d bytes", most)
	}
	return data, err
}
