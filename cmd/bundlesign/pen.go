package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/bundlesign/bundlesign/client/sshsig"
	"github.com/bundlesign/bundlesign/cmd/internal/show"
)

// pen is what a person signs with.
type pen struct {
	name string // for people: fingerprint, and the comment of the key or its file
	// fingerprint is "SHA256:..." of the key, or "" of a file that does not say it.
	fingerprint string
	// write returns an armored SSH signature over a text for a namespace.
	write func(ctx context.Context, namespace, text string) (string, error)
	close func()
}

// penFlags say which SSH key a person signs with.
type penFlags struct {
	keyFile  string
	agentKey string
}

func (f *penFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.keyFile, "key", "", "`file` of the SSH key to sign with; if the ssh-agent holds it, the agent signs")
	fl.StringVar(&f.agentKey, "agent-key", "", "`fingerprint` (SHA256:...) of the key in the ssh-agent to sign with")
	cmd.MarkFlagsMutuallyExclusive("key", "agent-key")
}

// pen finds the key: the one that was named or, if none was, the only one in the
// ssh-agent.
func (a *app) pen(ctx context.Context, f *penFlags) (*pen, error) {
	if f.keyFile == "" {
		return a.agentPen(ctx, f.agentKey)
	}
	public, err := sshsig.PublicKey(f.keyFile)
	switch {
	case err == nil:
		if err := sshsig.CheckKey(public); err != nil {
			return nil, &inputError{err: fmt.Errorf("--key %s: %w", f.keyFile, err)}
		}
		fingerprint := ssh.FingerprintSHA256(public)
		held, agentErr := a.agentPen(ctx, fingerprint)
		if agentErr == nil {
			return held, nil
		}
		if strings.HasSuffix(f.keyFile, ".pub") {
			return nil, agentErr // the public half alone cannot sign
		}
		return a.filePen(f.keyFile, fingerprint), nil
	case errors.Is(err, fs.ErrNotExist):
		// A private key in another form, which does not say its public half, and has
		// none beside it?
		if _, missing := os.Stat(f.keyFile); missing == nil {
			return a.filePen(f.keyFile, ""), nil
		}
	}
	return nil, &inputError{err: fmt.Errorf("--key: %w", err)}
}

// agentPen signs with the key of the ssh-agent that has this fingerprint, or with
// the only one there is.
func (a *app) agentPen(ctx context.Context, fingerprint string) (*pen, error) {
	const other = "ssh-add adds a key; --key FILE signs with a key file; --print FILE shows what plain ssh-keygen needs"
	socket := a.getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, &inputError{err: errors.New("found no ssh-agent: SSH_AUTH_SOCK is not set"), hint: other}
	}
	agent, err := sshsig.DialAgent(ctx, socket)
	if err != nil {
		return nil, &inputError{err: fmt.Errorf("SSH_AUTH_SOCK: %w", err), hint: other}
	}
	keys, err := agent.Keys()
	if err != nil {
		_ = agent.Close() // nothing was asked of it
		return nil, &inputError{err: err, hint: other}
	}
	key, err := pickAgentKey(keys, fingerprint)
	if err != nil {
		_ = agent.Close()
		return nil, err
	}
	return &pen{
		name:        named(key),
		fingerprint: key.Fingerprint,
		write: func(_ context.Context, namespace, text string) (string, error) {
			if strings.HasPrefix(key.PublicKey().Type(), "sk-") {
				a.say("touch the FIDO2 device")
			}
			return sshsig.Sign(key, namespace, text)
		},
		close: func() { _ = agent.Close() },
	}, nil
}

func named(k sshsig.AgentKey) string { return strings.TrimSpace(k.Fingerprint + " " + k.Comment) }

// pickAgentKey returns the key that is meant, or says which there are.
func pickAgentKey(keys []sshsig.AgentKey, fingerprint string) (key sshsig.AgentKey, err error) {
	var all []string
	for _, k := range keys {
		if k.Fingerprint == fingerprint {
			return k, nil
		}
		all = append(all, named(k))
	}
	switch {
	case len(keys) == 0:
		return key, &inputError{
			err:  errors.New("the ssh-agent holds no key that can approve"),
			hint: "ssh-add adds one; --key FILE signs with a key file",
		}
	case fingerprint != "":
		return key, &inputError{
			err:  fmt.Errorf("the ssh-agent does not hold the key %s, but: %s", fingerprint, strings.Join(all, ", ")),
			hint: "ssh-add adds a key; --key FILE signs with a key file",
		}
	case len(keys) > 1:
		return key, &inputError{
			err:  fmt.Errorf("the ssh-agent holds %d keys: %s", len(keys), strings.Join(all, ", ")),
			hint: "choose one with --agent-key FINGERPRINT or --key FILE.pub",
		}
	}
	return keys[0], nil
}

// filePen signs with a private key in a file or, if that is only the handle of a
// FIDO2 key, has ssh-keygen do it, which can talk to the device.
func (a *app) filePen(path, fingerprint string) *pen {
	return &pen{
		name:        strings.TrimSpace(fingerprint + " " + path),
		fingerprint: fingerprint,
		close:       func() {},
		write: func(ctx context.Context, namespace, text string) (string, error) {
			key, err := sshsig.ReadKey(path, func() ([]byte, error) {
				return a.askPassphrase(ctx, fmt.Sprintf("Passphrase of %s: ", show.Printable(path)))
			})
			var asked *inputError
			switch {
			case errors.Is(err, sshsig.ErrSecurityKey):
				return a.keygenSign(ctx, path, namespace, text)
			case errors.As(err, &asked), err != nil && ctx.Err() != nil:
				return "", err
			case err != nil:
				return "", &inputError{err: fmt.Errorf("--key %s: %w", path, err)}
			}
			return sshsig.Sign(key, namespace, text)
		},
	}
}

// keygenSign signs with the program of OpenSSH.
func (a *app) keygenSign(ctx context.Context, path, namespace, text string) (string, error) {
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		return "", &inputError{
			err:  fmt.Errorf("--key %s: the key is in a FIDO2 device, and ssh-keygen, which can talk to it, was not found", path),
			hint: "install OpenSSH 8.2 or later, or add the key to an ssh-agent (ssh-add)",
		}
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "-Y", "sign", "-f", path, "-n", namespace)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, a.stderr
	if err := cmd.Run(); err != nil {
		return "", &inputError{
			err:  fmt.Errorf("--key %s: ssh-keygen did not sign: %w", path, err),
			hint: "what stands above is what it said; is the device plugged in, and was it touched?",
		}
	}
	if _, err := sshsig.Key(out.String(), namespace, text); err != nil {
		return "", fmt.Errorf("what ssh-keygen wrote: %w", err)
	}
	return out.String(), nil
}
