package gcpkms

import (
	"context"
	"fmt"
)

// Plan implements backends.KeyMaker.
func (m *Maker) Plan(ctx context.Context, importing bool) ([]string, error) {
	if !m.gate.Enter() {
		return nil, errMakerClosed
	}
	defer m.gate.Leave()
	key, err := m.look(ctx, importing)
	if err != nil {
		return nil, err
	}
	plan := []string{m.planKey(key != nil, importing), m.planVersion(importing)}
	if importing {
		plan = append(
			plan,
			"The private key is encrypted on this machine with the public key of an import job made for it (RSA-OAEP with 4096 bits and SHA-256, AES-256 key wrap), and only Cloud KMS can decrypt it; the job ends by itself three days later.",
			"That this public key is Google's rests on TLS: the attestation of an HSM is logged, and not verified here.",
			"The copy of the key that you import from goes on to exist, and whoever has it can sign.",
		)
	}
	plan = append(
		plan,
		"A version cannot be destroyed at once: its destruction is scheduled, 30 days ahead unless the key says otherwise, and can be called off until then; the name of the key is never free again.",
		"Google bills each version that is not destroyed by the month, and its use by the operation, an HSM's higher than software's: see https://cloud.google.com/kms/pricing.",
		"The URI that this prints names no credentials: let the daemon sign with an account of its own, which may do nothing but use the key.",
	)
	return plan, nil
}

func (m *Maker) planKey(exists, importing bool) string {
	where := fmt.Sprintf("key ring %s, location %s, project %s", m.uri.part(2), m.uri.part(1), m.uri.part(0))
	switch {
	case exists:
		return fmt.Sprintf("The Cloud KMS key %s (%s) exists and gets a new version; its other versions stay as they are.", m.uri.part(3), where)
	case importing:
		return fmt.Sprintf("A new Cloud KMS key %s (%s) is made, which takes imported versions only, for good.", m.uri.part(3), where)
	}
	return fmt.Sprintf("A new Cloud KMS key %s (%s) is made.", m.uri.part(3), where)
}

func (m *Maker) planVersion(importing bool) string {
	held := "by Google's HSMs (protection level HSM)"
	if m.uri.Software {
		held = "by Google in the memory of ordinary machines (protection level SOFTWARE)"
	}
	how := "Its version is an RSA key of 2048 bits that Cloud KMS draws"
	if importing {
		how = "Its version is the RSA key of 2048 bits that you import"
	}
	return fmt.Sprintf("%s, for %s: it can sign and nothing else, is held %s, and Cloud KMS has no call that gives it out.", how, algorithm, held)
}
