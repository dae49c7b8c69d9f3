package policy

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// MaxSSHSIG is the longest armored signature in bytes; one by the longest RSA key
// that OpenSSH knows, of 16,384 bits, has less than 6 KiB.
const MaxSSHSIG = 64 << 10

const (
	armorBegin = "-----BEGIN SSH SIGNATURE-----"
	armorEnd   = "-----END SSH SIGNATURE-----"
	armorWidth = 70 // as ssh-keygen writes it

	sshsigMagic   = "SSHSIG"
	sshsigVersion = 1
)

// Flags in a signature by a FIDO2 key (PROTOCOL.u2f, "SSH U2F Signatures").
const (
	flagUserPresent  = 0x01
	flagUserVerified = 0x04
)

// sshsig is a signature as ssh-keygen -Y sign makes it (PROTOCOL.sshsig of OpenSSH).
// What is parsed encodes to the same bytes.
type sshsig struct {
	key       []byte // public key, in its wire form
	namespace string
	hash      string // "sha256" or "sha512"
	signature []byte
}

// parseSSHSIG reads the armored form. It is at least as strict as ssh-keygen: the
// header comes first, white space does not matter inside, and nothing but white
// space follows the footer (there ssh-keygen takes anything). Neither the key nor
// the signature is checked here.
func parseSSHSIG(armored string) (*sshsig, error) {
	if len(armored) > MaxSSHSIG {
		return nil, fmt.Errorf("found %d bytes, want a signature of at most %d", len(armored), MaxSSHSIG)
	}
	text, ok := strings.CutPrefix(armored, armorBegin)
	if !ok {
		return nil, fmt.Errorf("found %s, want the output of ssh-keygen -Y sign, which begins with %q", quote(armored), armorBegin)
	}
	if !strings.HasPrefix(text, "\n") && !strings.HasPrefix(text, "\r\n") {
		return nil, fmt.Errorf("found no line end after %q", armorBegin)
	}
	text, after, ok := strings.Cut(text, "\n"+armorEnd)
	if !ok {
		return nil, fmt.Errorf("found no line %q; the signature was cut off", armorEnd)
	}
	if rest := strings.Trim(after, armorSpace); rest != "" {
		return nil, fmt.Errorf("found %s after %q, want nothing", quote(rest), armorEnd)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(withoutSpace(text))
	if err != nil {
		return nil, fmt.Errorf("the signature is damaged: %w", err)
	}
	return parseSSHSIGBlob(blob)
}

// armorSpace is what isspace(3) takes for white space, as ssh-keygen does.
const armorSpace = " \t\n\v\f\r"

func withoutSpace(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(armorSpace, c) {
			return -1
		}
		return c
	}, s)
}

func parseSSHSIGBlob(blob []byte) (*sshsig, error) {
	r := wireReader{blob}
	magic, err := r.take("magic preamble", len(sshsigMagic))
	if err != nil {
		return nil, err
	}
	if string(magic) != sshsigMagic {
		return nil, fmt.Errorf("found %s at the beginning, want %q", quote(string(magic)), sshsigMagic)
	}
	version, err := r.uint32("version")
	if err != nil {
		return nil, err
	}
	if version != sshsigVersion {
		return nil, fmt.Errorf("found version %d, want %d", version, sshsigVersion)
	}
	var fields [5][]byte
	for i, name := range []string{"public key", "namespace", "reserved field", "hash algorithm", "signature"} {
		if fields[i], err = r.string(name); err != nil {
			return nil, err
		}
	}
	if err := r.end("signature"); err != nil {
		return nil, err
	}
	if len(fields[2]) > 0 {
		return nil, fmt.Errorf("found %d bytes in the reserved field, want none", len(fields[2]))
	}
	s := &sshsig{key: fields[0], namespace: string(fields[1]), hash: string(fields[3]), signature: fields[4]}
	if s.namespace == "" {
		return nil, errors.New("found an empty namespace")
	}
	if s.hash != "sha256" && s.hash != "sha512" {
		return nil, fmt.Errorf("found the hash algorithm %s, want sha512 or sha256", quote(s.hash))
	}
	return s, nil
}

// armor returns the signature byte for byte as ssh-keygen writes it.
func (s *sshsig) armor() string {
	text := base64.StdEncoding.EncodeToString(s.marshal())
	var b strings.Builder
	b.WriteString(armorBegin + "\n")
	for text != "" {
		n := min(armorWidth, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString(armorEnd + "\n")
	return b.String()
}

func (s *sshsig) marshal() []byte {
	b := binary.BigEndian.AppendUint32([]byte(sshsigMagic), sshsigVersion)
	b = appendString(b, s.key)
	b = appendString(b, []byte(s.namespace))
	b = appendString(b, nil)
	b = appendString(b, []byte(s.hash))
	return appendString(b, s.signature)
}

// signed is what the key has signed (PROTOCOL.sshsig, section 3).
func (s *sshsig) signed(statement []byte) []byte {
	var digest []byte
	if s.hash == "sha256" {
		sum := sha256.Sum256(statement)
		digest = sum[:]
	} else {
		sum := sha512.Sum512(statement)
		digest = sum[:]
	}
	b := appendString([]byte(sshsigMagic), []byte(s.namespace))
	b = appendString(b, nil)
	b = appendString(b, []byte(s.hash))
	return appendString(b, digest)
}

func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// verify checks the signature over a statement with the key, which must be the one
// that the signature names and have passed [parseKey]. A FIDO2 key must have seen
// its user; whether it verified them, too, is returned. Its counter is covered by
// the signature and not compared with earlier ones: a cloned device is not
// noticed.
func (s *sshsig) verify(key ssh.PublicKey, statement []byte) (userVerified bool, err error) {
	r := wireReader{s.signature}
	format, err := r.string("signature's format")
	if err != nil {
		return false, err
	}
	if err := checkSignatureFormat(key.Type(), string(format)); err != nil {
		return false, err
	}
	blob, err := r.string("signature's value")
	if err != nil {
		return false, err
	}
	signature := &ssh.Signature{Format: string(format), Blob: blob, Rest: r.rest}
	if isSecurityKey(key.Type()) {
		flags, err := r.take("FIDO2 key's flags", 1)
		if err != nil {
			return false, err
		}
		if _, err := r.uint32("FIDO2 key's counter"); err != nil {
			return false, err
		}
		if flags[0]&flagUserPresent == 0 {
			return false, errors.New("the FIDO2 key was not touched (user presence), and it must be for each signature; make one without -O no-touch-required")
		}
		userVerified = flags[0]&flagUserVerified != 0
	}
	if err := r.end("signature's value"); err != nil {
		return false, err
	}
	// The library's reasons say no more than this, and how it failed is of no use
	// to who holds the wrong text.
	if key.Verify(s.signed(statement), signature) != nil {
		return false, errors.New("the signature does not fit this statement: another text was signed, or the text was changed on its way (sign it byte for byte)")
	}
	return userVerified, nil
}
