package clienttest

import (
	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/audit"
)

// The lies about the results of a request's further keys. The first key's is right.
const (
	AlsoChecksumOfOther   Lie = "also-checksum-of-another-digest"
	AlsoChecksumOtherKey  Lie = "also-checksum-by-another-key"
	AlsoChecksumOtherForm Lie = "also-checksum-in-another-form"
	AlsoForeignKey        Lie = "also-foreign-key" // only a pin can tell
	AlsoPublicKeyMissing  Lie = "also-public-key-missing"
	AlsoSessionKeyOfOther Lie = "also-session-key-by-another-key"
	AlsoSessionKeySize    Lie = "also-session-key-of-32-bytes"
	AlsoSessionKeyMissing Lie = "also-session-key-missing"
	AlsoMissing           Lie = "also-missing"
	AlsoTwice             Lie = "also-twice"            // one result more than was asked for
	AlsoAnotherName       Lie = "also-another-name"     // of the key
	AlsoFirstKey          Lie = "also-by-the-first-key" // the first result again, under the other name
	AlsoFilesOfFirst      Lie = "also-files-by-the-first-key"
	AlsoNotRecorded       Lie = "also-not-in-the-entry"
	AlsoOtherRecorded     Lie = "also-another-in-the-entry"
	AlsoMoreRecorded      Lie = "also-more-in-the-entry" // a key that nobody asked for
)

// AlsoLies returns all of them. Each needs a request with one further key, and with
// files.
func AlsoLies() []Lie {
	return []Lie{
		AlsoChecksumOfOther, AlsoChecksumOtherKey, AlsoChecksumOtherForm, AlsoForeignKey, AlsoPublicKeyMissing,
		AlsoSessionKeyOfOther, AlsoSessionKeySize, AlsoSessionKeyMissing,
		AlsoMissing, AlsoTwice, AlsoAnotherName, AlsoFirstKey, AlsoFilesOfFirst,
		AlsoNotRecorded, AlsoOtherRecorded, AlsoMoreRecorded,
	}
}

// ofAlso is what a lie about a further key is when it is told about the first.
func (l Lie) ofAlso() Lie {
	return map[Lie]Lie{
		AlsoChecksumOfOther: ChecksumOfOther, AlsoChecksumOtherKey: ChecksumOtherKey, AlsoChecksumOtherForm: ChecksumOtherForm,
		AlsoForeignKey: ForeignKey, AlsoSessionKeyOfOther: SessionKeyOfOther, AlsoSessionKeySize: SessionKeySize,
	}[l]
}

// lieAboutAlso spoils an answer, and the entry about it, that are right so far.
func (d *FakeDaemon) lieAboutAlso(sig *wire.Signature, leaf *audit.Leaf, lie Lie) {
	if lie == AlsoMoreRecorded {
		leaf.Also = append(leaf.Also, audit.AlsoKey{Key: "unheard-of", KeyFingerprint: leaf.KeyFingerprint, Format: leaf.Format})
	}
	if len(sig.Also) == 0 {
		return
	}
	also := &sig.Also[0]
	switch lie {
	case AlsoPublicKeyMissing:
		also.PublicKey = ""
	case AlsoSessionKeyMissing:
		also.SessionKey = ""
	case AlsoMissing:
		sig.Also = sig.Also[1:]
	case AlsoTwice:
		sig.Also = append(sig.Also, *also)
	case AlsoAnotherName:
		also.Key = "another"
	case AlsoFirstKey:
		name := also.Key
		*also = wire.KeyResult{
			Key: name, KeyID: sig.KeyID, PublicKey: sig.PublicKey, ChecksumFormat: sig.ChecksumFormat,
			Checksum: sig.Checksum, SessionKey: sig.SessionKey, Files: sig.Files, Custody: sig.Custody,
		}
		leaf.Also[0] = audit.AlsoKey{
			Key: name, KeyFingerprint: leaf.KeyFingerprint, Format: leaf.Format,
			ChecksumSHA256: leaf.ChecksumSHA256, SessionKeySHA256: leaf.SessionKeySHA256, FilesSHA256: leaf.FilesSHA256,
		}
	case AlsoFilesOfFirst:
		also.Files = sig.Files
		leaf.Also[0].FilesSHA256 = leaf.FilesSHA256
	case AlsoNotRecorded:
		leaf.Also = nil
	case AlsoOtherRecorded:
		leaf.Also[0].ChecksumSHA256 = leaf.ChecksumSHA256
	}
}
