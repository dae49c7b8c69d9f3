package vault

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/bundlesign/bundlesign/signer"
)

// secretID is the secret id of an AppRole: as it is in its file, or wrapped there.
//
// A wrapped one is taken out once, for all keys that log in with it, and then lives in
// memory only. That it can be taken out once only is its point: if somebody on the way has
// done so, we find out.
type secretID struct{ *sessions }

func (s secretID) body(ctx context.Context) (map[string]string, error) {
	id, err := s.value(ctx)
	if err != nil {
		return nil, err
	}
	s.secrets.add(id)
	return map[string]string{"role_id": s.uri.RoleID, "secret_id": id}, nil
}

func (s secretID) value(ctx context.Context) (string, error) {
	l := s.login // of which the caller has the turn
	if s.uri.Wrapped && l.unwrapped != "" {
		// The file may have gone meanwhile; it has done its work.
		now, err := s.uri.SecretIDFile.state(s.cfg.CredentialsDir)
		if err != nil || now == l.from {
			return l.unwrapped, nil
		}
	}
	line, state, err := s.uri.SecretIDFile.readLine(s.cfg.CredentialsDir)
	if err != nil {
		return "", err
	}
	s.secrets.add(line)
	if !s.uri.Wrapped {
		return line, nil
	}
	id, err := s.unwrap(ctx, line)
	if err != nil {
		return "", err
	}
	l.unwrapped, l.from = id, state
	return id, nil
}

// unwrap takes a secret id out of its wrapping, after a look at where that was made:
// who swaps the token in the file could otherwise hand us any secret.
func (s secretID) unwrap(ctx context.Context, wrapping string) (string, error) {
	const doing = "unwrapping the secret id"
	client, err := newClient(s.uri, s.transport, wrapping)
	if err != nil {
		return "", err
	}
	path, _ := s.uri.SecretIDFile.path(s.cfg.CredentialsDir)
	gone := fmt.Errorf("%w: vault %s: %s: the wrapping token in %s is not good, or not any more: it has expired, or was used already; if it was not used by this daemon before a restart, somebody else has the secret id: destroy it and find out who; then write a new wrapping token to the file", signer.ErrKeyUnusable, s.uri.name(), doing, path)

	var lookup struct {
		Data struct {
			CreationPath string `json:"creation_path"`
		} `json:"data"`
	}
	err = request(ctx, client, s.timeout, "sys/wrapping/lookup", map[string]string{"token": wrapping}, &lookup)
	if isRefusal(err) {
		return "", gone
	}
	if err != nil {
		return "", s.fault(ctx, doing, err)
	}
	want := regexp.MustCompile("^auth/" + regexp.QuoteMeta(s.uri.AuthMount) + "/role/[^/]+/secret-id$")
	if !want.MatchString(lookup.Data.CreationPath) {
		return "", fmt.Errorf("%w: vault %s: %s: the wrapping token in %s was made at %q, want auth/%s/role/NAME/secret-id: it may have been swapped", signer.ErrKeyUnusable, s.uri.name(), doing, path, s.show(lookup.Data.CreationPath), s.uri.AuthMount)
	}
	var answer struct {
		Data struct {
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	err = request(ctx, client, s.timeout, "sys/wrapping/unwrap", struct{}{}, &answer)
	if isRefusal(err) {
		return "", gone
	}
	if err != nil {
		return "", s.fault(ctx, doing, err)
	}
	if answer.Data.SecretID == "" {
		return "", fmt.Errorf("%w: vault %s: %s: found no secret id in it", signer.ErrKeyUnusable, s.uri.name(), doing)
	}
	return answer.Data.SecretID, nil
}

// isRefusal reports whether Vault said no to a credential.
func isRefusal(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}
