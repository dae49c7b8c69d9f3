package sshsig

import (
	"context"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Agent is a connection to an ssh-agent. It is not safe for concurrent use.
type Agent struct {
	conn   net.Conn
	stop   func() bool
	client agent.ExtendedAgent
}

// AgentKey is a key that an agent holds.
type AgentKey struct {
	ssh.AlgorithmSigner
	Fingerprint string // "SHA256:" and base64
	Comment     string // as the agent has it: text of a stranger
}

// DialAgent connects to the agent at a Unix socket, which SSH_AUTH_SOCK names. It
// may take a person's time to sign: only the end of ctx ends the waiting.
func DialAgent(ctx context.Context, socket string) (*Agent, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("no ssh-agent answers: %w", err)
	}
	return &Agent{
		// Only reading and writing: that makes a client without a goroutine.
		conn: conn, client: agent.NewClient(struct{ io.ReadWriter }{conn}),
		stop: context.AfterFunc(ctx, func() { _ = conn.Close() }),
	}, nil
}

// Close ends the connection.
func (a *Agent) Close() error {
	a.stop()
	return a.conn.Close()
}

// Keys returns the keys of the agent that can sign here (see [CheckKey]).
func (a *Agent) Keys() ([]AgentKey, error) {
	held, err := a.client.List()
	if err != nil {
		return nil, fmt.Errorf("asking the ssh-agent for its keys: %w", err)
	}
	var out []AgentKey
	for _, k := range held {
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil || CheckKey(public) != nil {
			continue // of a kind that approves nothing
		}
		out = append(out, AgentKey{
			AlgorithmSigner: &agentSigner{a.client, public},
			Fingerprint:     ssh.FingerprintSHA256(public), Comment: k.Comment,
		})
	}
	return out, nil
}

// agentSigner signs with a key of an agent. The flags and the counter of a FIDO2
// key come from the agent and follow the signature.
type agentSigner struct {
	client agent.ExtendedAgent
	public ssh.PublicKey
}

var _ ssh.AlgorithmSigner = (*agentSigner)(nil)

// PublicKey implements [ssh.Signer].
func (s *agentSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign implements [ssh.Signer].
func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, s.public.Type())
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner]. Randomness is the agent's.
func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	var flags agent.SignatureFlags
	if algorithm == ssh.KeyAlgoRSASHA512 {
		flags = agent.SignatureFlagRsaSha512
	}
	sig, err := s.client.SignWithFlags(s.public, data, flags)
	if err != nil {
		return nil, fmt.Errorf("the ssh-agent did not sign; is it locked, or was the key not touched or confirmed? (%w)", err)
	}
	return sig, nil
}
