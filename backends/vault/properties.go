package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/signer"
)

// properties are what Vault tells about a key. Pointers are for what must be said to
// count as shown.
type properties struct {
	Type            string             `json:"type"`
	Derived         *bool              `json:"derived"`
	Exportable      *bool              `json:"exportable"`
	PlaintextBackup *bool              `json:"allow_plaintext_backup"`
	Imported        *bool              `json:"imported_key"`
	ImportedRotates *bool              `json:"imported_key_allow_rotation"` // of an imported key only
	DeletionAllowed *bool              `json:"deletion_allowed"`
	Latest          int                `json:"latest_version"`
	MinAvailable    int                `json:"min_available_version"`
	MinDecryption   int                `json:"min_decryption_version"`
	MinEncryption   int                `json:"min_encryption_version"`
	Restore         json.RawMessage    `json:"restore_info"`
	AutoRotate      int64              `json:"auto_rotate_period"` // seconds; 0: it does not
	Versions        map[string]version `json:"keys"`
}

// version is one version of a key. Vault gives a number in its place for a symmetric
// key.
type version struct {
	PublicKey string // RSA: PEM, PKIX; Ed25519: base64
	Created   string
}

// UnmarshalJSON takes what an asymmetric key has, and nothing of another.
func (v *version) UnmarshalJSON(b []byte) error {
	var fields struct {
		PublicKey string `json:"public_key"`
		Created   string `json:"creation_time"`
	}
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &fields); err != nil {
			return err
		}
	}
	*v = version(fields)
	return nil
}

// errNoKey is an error of read. It says that Vault has no such key, which whoever makes
// one wants to hear.
var errNoKey = errors.New("found no such key")

// read asks Vault about the key.
func (e *engine) read(ctx context.Context) (*properties, error) {
	const doing = "reading the key's properties"
	var answer struct {
		Data properties `json:"data"`
	}
	err := e.sessions.do(ctx, doing, func(c *api.Client) error {
		answer.Data = properties{}
		return request(ctx, c, e.cfg.Timeout, e.uri.Mount+"/keys/"+e.uri.Key, nil, &answer)
	})
	switch said := e.sessions.said(err); {
	case status(err) == 404 && said == "":
		return nil, fmt.Errorf("%w: vault %s: %w at %s: check its name, and the namespace; if it was deleted, it is gone", signer.ErrKeyUnusable, e.uri.name(), errNoKey, e.uri.Address)
	case status(err) == 404: // only a key that is not there leaves Vault without words
		return nil, fmt.Errorf("%w: vault %s: found no transit engine at %s/v1/%s: check the name of the mount, and the namespace%s", signer.ErrKeyUnusable, e.uri.name(), e.uri.Address, e.uri.Mount, said)
	}
	if err != nil {
		return nil, e.sessions.fault(ctx, doing, err)
	}
	return &answer.Data, nil
}

// usable returns a version of a key of the type that is wanted, or why it cannot sign.
func (p *properties) usable(n int) (version, error) {
	found, ok := p.Versions[strconv.Itoa(n)]
	switch {
	case n > p.Latest:
		return version{}, fmt.Errorf("the key has no such version yet: its latest is %d; check version= in the key's URI", p.Latest)
	case n < p.MinAvailable:
		return version{}, fmt.Errorf("the version was trimmed: the oldest that is left is %d; it cannot be brought back", p.MinAvailable)
	case n < p.MinDecryption:
		return version{}, fmt.Errorf("the version is archived, because min_decryption_version is %d: set it to %d or less", p.MinDecryption, n)
	case n < p.MinEncryption:
		return version{}, fmt.Errorf("the version may not sign, because min_encryption_version is %d: set it to %d or less, or 0", p.MinEncryption, n)
	case !ok:
		return version{}, fmt.Errorf("vault does not show this version of the key, whose latest is %d", p.Latest)
	}
	return found, nil
}

// kept reports whether Vault's API does not give the key out.
func (p *properties) kept() bool { return is(p.Exportable, false) && is(p.PlaintextBackup, false) }

// is reports whether something was said, and was this.
func is(said *bool, want bool) bool { return said != nil && *said == want }
