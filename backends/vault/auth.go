package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/backends/internal/secretfile"
	"github.com/bundlesign/bundlesign/signer"
)

// method is one way to get a token.
type method interface {
	// login gets a token. Its errors are fit for the core.
	login(context.Context) (*session, error)
	// state tells one state of the credential on this machine from another.
	state() secretfile.ID
	// changed reports whether a session from this state is to be replaced.
	changed(secretfile.ID) bool
}

func newMethod(s *sessions) method {
	switch s.uri.Auth {
	case AppRole:
		return &loginMethod{sessions: s, file: s.uri.SecretIDFile, body: secretID{s}.body}
	case Kubernetes:
		return &loginMethod{sessions: s, file: s.uri.JWTFile, body: func(context.Context) (map[string]string, error) {
			jwt, err := s.uri.JWTFile.readProjected(s.cfg.CredentialsDir)
			return s.jwtBody(jwt, err)
		}}
	case JWT:
		return &loginMethod{sessions: s, file: s.uri.JWTFile, body: func(context.Context) (map[string]string, error) {
			jwt, _, err := s.uri.JWTFile.readLine(s.cfg.CredentialsDir)
			return s.jwtBody(jwt, err)
		}}
	case Cert:
		return &loginMethod{sessions: s, file: s.uri.CertFile, body: func(context.Context) (map[string]string, error) {
			// A connection from before the certificate was replaced is of no use.
			s.transport.closeIdle()
			if s.uri.Role == "" {
				return map[string]string{}, nil
			}
			return map[string]string{"name": s.uri.Role}, nil
		}}
	}
	return &tokenMethod{s}
}

func (s *sessions) jwtBody(jwt string, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	s.secrets.add(jwt)
	s.jwtValidity = jwtValidity(jwt, s.now())
	return map[string]string{"role": s.uri.Role, "jwt": jwt}, nil
}

// authAnswer is what Vault says when it gives or prolongs a token.
type authAnswer struct {
	Auth *grant `json:"auth"`
}

type grant struct {
	ClientToken   string `json:"client_token"`
	LeaseDuration int64  `json:"lease_duration"` // seconds; 0: for ever
	Renewable     bool   `json:"renewable"`
}

func (g *grant) lease() time.Duration { return time.Duration(g.LeaseDuration) * time.Second }

// open returns the session of a token.
func (s *sessions) open(token string, source secretfile.ID) (*session, error) {
	s.secrets.add(token)
	client, err := newClient(s.uri, s.transport, token)
	if err != nil {
		return nil, err
	}
	return &session{client: client, source: source, began: s.now()}, nil
}

// tokenMethod reads a token that somebody else keeps in a file: an operator, or a
// Vault Agent.
type tokenMethod struct{ *sessions }

func (m *tokenMethod) state() secretfile.ID {
	id, err := m.uri.TokenFile.state(m.cfg.CredentialsDir)
	if err != nil {
		return secretfile.ID{}
	}
	return id
}

// changed says yes also if the file is gone: who removes it wants the token unused.
func (m *tokenMethod) changed(since secretfile.ID) bool { return m.state() != since }

func (m *tokenMethod) login(ctx context.Context) (*session, error) {
	token, id, err := m.uri.TokenFile.readLine(m.cfg.CredentialsDir)
	if err != nil {
		return nil, err
	}
	session, err := m.open(token, id)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			TTL       int64 `json:"ttl"` // seconds; 0: for ever
			Renewable bool  `json:"renewable"`
		} `json:"data"`
	}
	err = request(ctx, session.client, m.timeout, "auth/token/lookup-self", nil, &answer)
	if status(err) == http.StatusForbidden {
		return session, nil // dead, or not allowed to ask: the first use will tell
	}
	if err != nil {
		return nil, m.fault(ctx, "asking how long the token is good", err)
	}
	session.granted(time.Duration(answer.Data.TTL)*time.Second, answer.Data.Renewable, m.now())
	return session, nil
}

// loginMethod shows Vault a credential and is given a token.
type loginMethod struct {
	*sessions
	file File // with the credential
	body func(context.Context) (map[string]string, error)
}

func (m *loginMethod) state() secretfile.ID {
	id, err := m.file.state(m.cfg.CredentialsDir)
	if err != nil {
		return secretfile.ID{}
	}
	return id
}

// changed says no: the token is good whatever became of what it was got with.
func (m *loginMethod) changed(secretfile.ID) bool { return false }

func (m *loginMethod) login(ctx context.Context) (*session, error) {
	body, err := m.body(ctx)
	if err != nil {
		return nil, err
	}
	anonymous, err := newClient(m.uri, m.transport, "")
	if err != nil {
		return nil, err
	}
	doing := fmt.Sprintf("logging in at auth/%s", m.uri.AuthMount)
	answer, err := m.send(ctx, anonymous, body)
	if isRefusal(err) || m.refuses(err) {
		return nil, fmt.Errorf("%w: vault %s: %s: vault refuses the credential: %s%s", signer.ErrKeyUnusable, m.uri.name(), doing, m.advice(), m.said(err))
	}
	if err != nil {
		return nil, m.fault(ctx, doing, err)
	}
	if answer.Auth == nil || answer.Auth.ClientToken == "" {
		return nil, fmt.Errorf("%w: vault %s: %s: vault gave no token; if it asks for a second factor, use a role that does not", signer.ErrKeyUnusable, m.uri.name(), doing)
	}
	session, err := m.open(answer.Auth.ClientToken, secretfile.ID{})
	if err != nil {
		return nil, err
	}
	session.granted(answer.Auth.lease(), answer.Auth.Renewable, m.now())
	return session, nil
}

// refuses reports whether an answer of 500 is a refusal, as Vault 1.13 words it for a
// secret id. To take it for a fault that passes would lock the role out.
func (m *loginMethod) refuses(err error) bool {
	var answer *api.ResponseError
	return m.uri.Auth == AppRole && status(err) == http.StatusInternalServerError &&
		errors.As(err, &answer) && len(answer.Errors) == 1 && strings.HasPrefix(answer.Errors[0], "invalid ")
}

// send logs in, and tries once more if the connection broke.
func (m *loginMethod) send(ctx context.Context, c *api.Client, body map[string]string) (*authAnswer, error) {
	for again := true; ; again = false {
		answer := new(authAnswer)
		err := request(ctx, c, m.timeout, "auth/"+m.uri.AuthMount+"/login", body, answer)
		if err == nil || !again || ctx.Err() != nil || !broken(err) {
			return answer, err
		}
	}
}

// advice says what to check when Vault refuses a credential.
func (m *loginMethod) advice() string {
	path, _ := m.file.path(m.cfg.CredentialsDir)
	times := m.jwtValidity
	if times != "" {
		times = "; " + times
	}
	switch m.uri.Auth {
	case AppRole:
		return fmt.Sprintf("check role-id, and whether the secret id of %s has expired, was used up or destroyed; write a new one there", path)
	case Kubernetes:
		return fmt.Sprintf("check that the role %q exists and is bound to this service account and namespace, and that Vault can ask the cluster about the token in %s%s", m.uri.Role, path, times)
	case JWT:
		return fmt.Sprintf("check that the role %q exists and fits the claims, and that the JWT in %s has not expired%s", m.uri.Role, path, times)
	}
	return fmt.Sprintf("check that a certificate role fits the certificate in %s, and that it has not expired", path)
}
