package gcpkms

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bundlesign/bundlesign/signer"
)

// inHSM reports whether keys of a protection level are held by Google's HSMs.
func inHSM(level kmspb.ProtectionLevel) bool {
	return level == kmspb.ProtectionLevel_HSM || level == kmspb.ProtectionLevel_HSM_SINGLE_TENANT
}

// conclude says what the service's description of a version proves.
//
//   - In an HSM and made there: never-extractable. Made there means that there is a
//     time of generation and no trace of an import; reimport_eligible is one.
//   - In an HSM and imported: non-extractable.
//   - SOFTWARE: non-extractable. The service has no call that gives the key out, to
//     anybody, in any protection level, and that is what the level says; it does
//     not say hardware. It is never more, however the key was made: the private
//     key is in the memory of ordinary machines that Google operates. Who wants
//     an HSM for an imported key as well adds protection=hsm to the URI.
//   - EXTERNAL and EXTERNAL_VPC: software, which is to say that nothing is proved.
//     The key is in a key manager outside, and what that one gives out Cloud KMS
//     does not know. Calling this more would be a guess.
//   - With trusted_wrapping_enabled: the same. The HSM does give the key out,
//     wrapped by another key, and who holds that one is not known.
//   - Anything that this version does not know: the same.
func conclude(v *kmspb.CryptoKeyVersion) signer.CustodyLevel {
	level := v.GetProtectionLevel()
	switch {
	case v.GetTrustedWrappingEnabled():
		return signer.Software
	case inHSM(level) && v.GetGenerateTime() != nil && !imported(v):
		return signer.NeverExtractable
	case inHSM(level) || level == kmspb.ProtectionLevel_SOFTWARE:
		return signer.NonExtractable
	}
	return signer.Software
}

func imported(v *kmspb.CryptoKeyVersion) bool {
	return v.GetImportJob() != "" || v.GetImportTime() != nil || v.GetReimportEligible()
}

// custody returns what the service showed, in its own terms.
func custody(v *kmspb.CryptoKeyVersion) signer.Custody {
	evidence := map[string]string{
		"key_version":       v.GetName(),
		"protection_level":  v.GetProtectionLevel().String(),
		"algorithm":         v.GetAlgorithm().String(),
		"state":             v.GetState().String(),
		"imported":          strconv.FormatBool(imported(v)),
		"reimport_eligible": strconv.FormatBool(v.GetReimportEligible()),
	}
	set := func(name, value string) {
		if value != "" {
			evidence[name] = value
		}
	}
	set("import_job", v.GetImportJob())
	set("import_time", when(v.GetImportTime()))
	set("generate_time", when(v.GetGenerateTime()))
	if v.GetTrustedWrappingEnabled() {
		evidence["trusted_wrapping_enabled"] = "true"
	}
	switch v.GetProtectionLevel() {
	case kmspb.ProtectionLevel_EXTERNAL, kmspb.ProtectionLevel_EXTERNAL_VPC:
		evidence["external"] = "the key is in a key manager outside Cloud KMS, which cannot say whether that gives it out"
	}
	if a := v.GetAttestation(); len(a.GetContent()) > 0 {
		digest := sha256.Sum256(a.GetContent())
		chains := a.GetCertChains()
		evidence["attestation_format"] = a.GetFormat().String()
		evidence["attestation_sha256"] = hex.EncodeToString(digest[:])
		evidence["attestation_certificates"] = strconv.Itoa(len(chains.GetCaviumCerts()) + len(chains.GetGoogleCardCerts()) + len(chains.GetGooglePartitionCerts()))
		evidence["attestation"] = "present, not verified here"
	} else {
		evidence["attestation"] = "none"
	}
	return signer.Custody{Level: conclude(v), Backend: Backend, Evidence: evidence}
}

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}
