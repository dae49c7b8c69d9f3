package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/bundlesign/bundlesign/signer"
)

// Plan says what Create, or Import if importing, would do, and what stands in its way.
func (m *Maker) Plan(ctx context.Context, importing bool) ([]string, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := m.find(ctx)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return m.planKey(importing), nil
	}
	if err := m.obstacle(found, importing); err != nil {
		return nil, err
	}
	return m.planVersion(found, importing), nil
}

func (m *Maker) planKey(importing bool) []string {
	var said []string
	if importing {
		said = []string{
			fmt.Sprintf("The private key becomes version 1 of a new key %s in the Vault at %s.", m.uri.name(), m.uri.Address),
			howImported,
			"Vault will make no versions of its own of it (allow_rotation is false).",
		}
	} else {
		said = []string{fmt.Sprintf("The Vault at %s makes a new RSA-2048 key %s, version 1.", m.uri.Address, m.uri.name())}
	}
	return append(said,
		"It cannot be exported or backed up in the clear; who may change the key's configuration in Vault can allow that later, and nobody can disallow it again.",
		"Vault has no keys that sign and nothing else: what the key is used for is a matter of the policies there.",
		"Vault does not delete it before somebody sets deletion_allowed.",
		tested,
	)
}

func (m *Maker) planVersion(p *properties, importing bool) []string {
	next := p.Latest + 1
	var said []string
	if importing {
		said = []string{fmt.Sprintf("The private key becomes version %d of the key %s in the Vault at %s.", next, m.uri.name(), m.uri.Address), howImported}
	} else {
		said = []string{fmt.Sprintf("The Vault at %s makes version %d of the key %s.", m.uri.Address, next, m.uri.name())}
	}
	said = append(said, fmt.Sprintf("Older versions up to %d stay as they are, and sign for whoever names them; a new version cannot be taken back.", p.Latest))
	if is(p.Imported, true) && !importing {
		said = append(said, "From then on Vault takes no more imports for this key, and no longer says that older versions were imported.")
	}
	if p.AutoRotate > 0 {
		said = append(said, fmt.Sprintf("Vault also makes a version by itself every %s, which no app knows: auto_rotate_period=0 ends that.", time.Duration(p.AutoRotate)*time.Second))
	}
	if is(p.DeletionAllowed, true) {
		said = append(said, "The key has deletion_allowed set: who may delete it in Vault can.")
	}
	return append(said, tested)
}

const (
	howImported = "It is encrypted on this machine so that only the transit engine can read it (RSA-OAEP and AES key wrap); copies elsewhere stay where they are."
	tested      = "The result is read back and has to make a test signature."
)

// obstacle says why a key that exists cannot get a version, or returns nil.
func (m *Maker) obstacle(p *properties, importing bool) error {
	const elsewhere = "give the new key another name"
	var why string
	switch {
	case p.Type != keyType:
		why = fmt.Sprintf("there is a key of type %q by this name, want %s, which is all that devices accept: %s", m.sessions.show(p.Type), keyType, elsewhere)
	case !p.kept():
		why = "there is a key by this name that may leave Vault (exportable or allow_plaintext_backup is true), which cannot be taken back: " + elsewhere
	case importing && !is(p.Imported, true):
		why = "there is a key by this name that Vault made, and it takes no imported versions: " + elsewhere
	case !importing && is(p.Imported, true) && !is(p.ImportedRotates, true):
		why = "there is a key by this name that was imported, and Vault may make no versions of it (imported_key_allow_rotation is false): " + elsewhere
	default:
		return nil
	}
	return fmt.Errorf("%w: vault %s: %s", signer.ErrKeyUnusable, m.uri.name(), why)
}
