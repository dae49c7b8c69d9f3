package vault

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/signer"
)

// keyType is the only one that devices accept.
const keyType = "rsa-2048"

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
	found, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	public, err := k.rsaKey(found, k.uri.Version)
	if err != nil {
		return nil, fmt.Errorf("%w: vault %s: %w", signer.ErrKeyUnusable, k.uri.name(), err)
	}
	return &signer.Evidence{PublicKey: public, Custody: signer.Custody{Level: level(found), Backend: Backend, Evidence: k.facts(found)}}, nil
}

// rsaKey returns the public half of a version, if it can sign for devices.
func (e *engine) rsaKey(p *properties, n int) (*capgo.PublicKey, error) {
	if p.Type != keyType {
		return nil, fmt.Errorf("found a key of type %q, want %s: devices accept no other", e.sessions.show(p.Type), keyType)
	}
	found, err := p.usable(n)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(found.PublicKey))
	if block == nil {
		return nil, errors.New("vault shows no public key in PEM")
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
// off, its API has never given the key out. Still that is not never-extractable. Whoever
// may write the key's configuration can switch them on tomorrow, which no HSM lets
// anybody do; the key is in Vault's storage, so that who has a snapshot and the unseal
// keys has the key; and whether Vault made it is not known for sure, since a rotation
// takes imported_key back for all versions. So Vault will not give it out today, and
// more is not claimed.
func level(p *properties) signer.CustodyLevel {
	if p.kept() {
		return signer.NonExtractable
	}
	return signer.Software
}

func (k *Key) facts(d *properties) map[string]string {
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

// describe adds which Vault it is, if it says, and what keeps the key of its storage.
func (k *Key) describe(ctx context.Context, facts map[string]string) {
	// This is asked for without a token, and in the root namespace. Other than for its
	// health, a standby answers as the active node does.
	root := *k.uri
	root.Namespace = ""
	client, err := newClient(&root, k.transport, "")
	if err != nil {
		return
	}
	var seal struct {
		Type        string `json:"type"`
		Version     string `json:"version"`
		ClusterName string `json:"cluster_name"`
		ClusterID   string `json:"cluster_id"`
	}
	if err := request(ctx, client, k.cfg.Timeout, "sys/seal-status", nil, &seal); err != nil {
		return
	}
	for name, value := range map[string]string{"seal_type": seal.Type, "vault_version": seal.Version, "cluster_name": seal.ClusterName, "cluster_id": seal.ClusterID} {
		if value != "" {
			facts[name] = k.sessions.show(value)
		}
	}
}
