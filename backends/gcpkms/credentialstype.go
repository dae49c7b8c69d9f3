package gcpkms

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cloud.google.com/go/auth/credentials"
)

// credentialsTypes are those that a daemon can have. A person's own
// (authorized_user) are not among them: who signs must not hang on somebody's
// account.
var credentialsTypes = []credentials.CredType{
	credentials.ServiceAccount, credentials.ExternalAccount, credentials.ImpersonatedServiceAccount,
}

// credentialsType returns the type that a credentials file says it is of. Errors
// hold nothing of the file.
func credentialsType(data []byte) (credentials.CredType, error) {
	var head struct {
		Type   credentials.CredType `json:"type"`
		Source struct {
			Type credentials.CredType `json:"type"`
		} `json:"source_credentials"` // that are exchanged for an account's
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", errors.New("is not JSON")
	}
	if !slices.Contains(credentialsTypes, head.Type) {
		return "", fmt.Errorf("is of no type for a daemon, want one of %q", credentialsTypes)
	}
	if head.Type == credentials.ImpersonatedServiceAccount && !slices.Contains(credentialsTypes, head.Source.Type) {
		return "", fmt.Errorf("has source_credentials of no type for a daemon, want one of %q", credentialsTypes)
	}
	return head.Type, nil
}
