package vault

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// keyType is the only one that devices accept.
const keyType = "rsa-2048"

// keyAnswer is what Vault tells about a key. Pointers are for what must be said to
// count as shown.
type keyAnswer struct {
	Data struct {
		Type             string             `json:"type"`
		Exportable       *bool              `json:"exportable"`
		PlaintextBackup  *bool              `json:"allow_plaintext_backup"`
		Imported         *bool              `json:"imported_key"`
		DeletionAllowed  *bool              `json:"deletion_allowed"`
		Latest           int                `json:"latest_version"`
		MinAvailable     int                `json:"min_available_version"`
		MinDecryption    int                `json:"min_decryption_version"`
		MinEncryption    int                `json:"min_encryption_version"`
		Restore          json.RawMessage    `json:"restore_info"`
		AutoRotate       int64              `json:"auto_rotate_period"` // seconds
		Versions         map[string]version `json:"keys"`
		SupportsSigning  bool               `json:"supports_signing"`
		ImportedRotation *bool              `json:"imported_key_allow_rotation"`
	} `json:"data"`
}

// version is one version of a key. Vault gives a number in its place for a symmetric
// key.
type version struct {
	PublicKey string // PEM, PKIX
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

// Inspect implements [signer.Key].
func (k *Key) Inspect(ctx context.Context) (*signer.Evidence, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	evidence, err := k.inspect(ctx)
	if err != nil {
		return nil, err
	}
	k.describe(ctx, evidence.Custody.Evidence)
	return evidence, nil
}

func (k *Key) inspect(ctx context.Context) (*signer.Evidence, error) {
	const doing = "reading the key's properties"
	var answer keyAnswer
	err := k.sessions.do(ctx, doing, func(c *api.Client) error {
		answer = keyAnswer{}
		return request(ctx, c, k.cfg.Timeout, k.uri.Mount+"/keys/"+k.uri.Key, nil, &answer)
	})
	if status(err) == 404 {
		return nil, fmt.Errorf("%w: vault %s: found no such key at %s: check the names of the mount and the key, and the namespace; if it was deleted, it is gone%s", signer.ErrKeyUnusable, k.uri.name(), k.uri.Address, k.sessions.said(err))
	}
	if err != nil {
		return nil, k.sessions.fault(ctx, doing, err)
	}
	public, err := k.publicKey(&answer)
	if err != nil {
		return nil, fmt.Errorf("%w: vault %s: %w", signer.ErrKeyUnusable, k.uri.name(), err)
	}
	return &signer.Evidence{PublicKey: public, Custody: signer.Custody{Level: level(&answer), Backend: Backend, Evidence: k.facts(&answer)}}, nil
}

// publicKey returns the public half of the version, if it can sign.
func (k *Key) publicKey(answer *keyAnswer) (*capgo.PublicKey, error) {
	d := &answer.Data
	if d.Type != keyType {
		return nil, fmt.Errorf("found a key of type %q, want %s: devices accept no other", k.sessions.show(d.Type), keyType)
	}
	n := k.uri.Version
	found, ok := d.Versions[strconv.Itoa(n)]
	switch {
	case n > d.Latest:
		return nil, fmt.Errorf("the key has no such version yet: its latest is %d; check version= in the key's URI", d.Latest)
	case n < d.MinAvailable:
		return nil, fmt.Errorf("the version was trimmed: the oldest that is left is %d; it cannot be brought back", d.MinAvailable)
	case n < d.MinDecryption:
		return nil, fmt.Errorf("the version is archived, because min_decryption_version is %d: set it to %d or less", d.MinDecryption, n)
	case n < d.MinEncryption:
		return nil, fmt.Errorf("the version may not sign, because min_encryption_version is %d: set it to %d or less, or 0", d.MinEncryption, n)
	case !ok:
		return nil, fmt.Errorf("vault does not show this version of the key, whose latest is %d", d.Latest)
	}
	block, _ := pem.Decode([]byte(found.PublicKey))
	if block == nil {
		return nil, fmt.Errorf("vault shows no public key in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("vault shows a public key that cannot be read: %w", err)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("vault shows a public key of type %T, want RSA", parsed)
	}
	return capgo.NewPublicKey(key)
}

// level concludes how well the key is kept.
//
// Vault cannot switch off exportable and allow_plaintext_backup again, so if both are
// off, its API has never given the key out, and if imported_key is off too, Vault made
// it. Still that is not never-extractable. Whoever may write the key's configuration can
// switch them on tomorrow, which no HSM lets anybody do; and the key is in Vault's
// storage, so that who has a snapshot and the unseal keys has the key. So Vault will not
// give it out today, and more is not claimed.
func level(answer *keyAnswer) signer.CustodyLevel {
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	if is(answer.Data.Exportable, false) && is(answer.Data.PlaintextBackup, false) {
		return signer.NonExtractable
	}
	return signer.Software
}

func (k *Key) facts(answer *keyAnswer) map[string]string {
	d := &answer.Data
	show := func(b *bool) string {
		if b == nil {
			return "unknown"
		}
		return strconv.FormatBool(*b)
	}
	facts := map[string]string{
		"address":                k.uri.Address,
		"mount":                  k.uri.Mount,
		"key":                    k.uri.Key,
		"key_version":            strconv.Itoa(k.uri.Version),
		"latest_version":         strconv.Itoa(d.Latest),
		"min_available_version":  strconv.Itoa(d.MinAvailable),
		"min_decryption_version": strconv.Itoa(d.MinDecryption),
		"type":                   d.Type,
		"exportable":             show(d.Exportable),
		"allow_plaintext_backup": show(d.PlaintextBackup),
		"deletion_allowed":       show(d.DeletionAllowed),
		"imported_key":           show(d.Imported),
		"auth":                   string(k.uri.Auth),
		"random":                 k.entropy.source(),
	}
	if created := d.Versions[strconv.Itoa(k.uri.Version)].Created; created != "" {
		facts["created"] = k.sessions.show(created)
	}
	if len(d.Restore) > 0 && string(d.Restore) != "null" {
		facts["restored_from_backup"] = "true"
	}
	if k.uri.Namespace != "" {
		facts["namespace"] = k.uri.Namespace
	}
	return facts
}

// describe adds which Vault it is, if it says.
func (k *Key) describe(ctx context.Context, facts map[string]string) {
	// The health of a Vault is asked for without a token, and in the root namespace.
	root := *k.uri
	root.Namespace = ""
	client, err := newClient(&root, k.transport, "")
	if err != nil {
		return
	}
	var health struct {
		Version     string `json:"version"`
		ClusterName string `json:"cluster_name"`
		ClusterID   string `json:"cluster_id"`
	}
	if err := request(ctx, client, k.cfg.Timeout, "sys/health", nil, &health); err != nil {
		return
	}
	for name, value := range map[string]string{"vault_version": health.Version, "cluster_name": health.ClusterName, "cluster_id": health.ClusterID} {
		if value != "" {
			facts[name] = k.sessions.show(value)
		}
	}
}
