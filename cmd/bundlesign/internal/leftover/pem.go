// Package leftover finds private keys that were left behind in a project: in its files, and in the history of its
// git repository.
//
// Its invariant is that no part of a private key leaves it: what is told is where a key is, of what kind, and its
// public half. The project may be hostile: nothing of it is run, links are not followed, and every search is bounded in
// what it reads; the context bounds its time.
package leftover

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"regexp"

	"github.com/bundlesign/bundlesign/capgo"
)

// Key is a private key that was found.
type Key struct {
	Where  string // the file, as from the project; in the history, the name that it had
	Object string // in the history: the id of the blob
	Kind   string // of the PEM block, such as "RSA PRIVATE KEY"
	// Public is its public half, if it is one that an app can carry, and is not encrypted.
	Public *capgo.PublicKey
}

// maxBlock is how long the text of a key can be, in bytes: far more than that of RSA-4096, with each line indented.
const maxBlock = 16 << 10

var (
	// Of PKCS#1, PKCS#8 and those of OpenSSL and OpenSSH (RFC 7468).
	begin = regexp.MustCompile(`-----BEGIN ((?:[A-Z0-9]+ ){0,2}PRIVATE KEY)-----`)
	// The same, encoded once more, as variables of CI systems are.
	wrapped = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/\s]{200,}`)
)

// scan returns the keys in a file. They may stand in a text with \n for newlines, or indented.
func scan(data []byte) (keys []Key) {
	for _, at := range begin.FindAllSubmatchIndex(data, -1) {
		k := Key{Kind: string(data[at[2]:at[3]])}
		body := data[at[1]:min(len(data), at[1]+maxBlock)]
		end := bytes.Index(body, []byte("-----END "+k.Kind+"-----"))
		if end < 0 {
			continue // the line alone is in many a program
		}
		if k.Public = public(body[:end]); k.Public == nil && end < 100 {
			continue // no key fits
		}
		keys = append(keys, k)
	}
	for _, text := range wrapped.FindAll(data, -1) {
		// What follows the key may look like a part of it: the error is about that.
		plain, _ := base64.RawStdEncoding.DecodeString(string(onlyBase64(text)))
		keys = append(keys, scan(plain)...)
	}
	return keys
}

// public returns the public half of the key in a PEM body, or nil.
func public(body []byte) *capgo.PublicKey {
	der, err := base64.RawStdEncoding.DecodeString(string(onlyBase64(body)))
	if err != nil {
		return nil
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil
		}
		var ok bool
		if key, ok = parsed.(*rsa.PrivateKey); !ok {
			return nil
		}
	}
	p, err := capgo.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil
	}
	return p
}

// onlyBase64 leaves out white space, the escapes of it, quotes, and the padding at the end.
func onlyBase64(text []byte) []byte {
	for _, escape := range []string{`\r`, `\n`, `\t`, `\/`} {
		with := ""
		if escape == `\/` {
			with = "/"
		}
		text = bytes.ReplaceAll(text, []byte(escape), []byte(with))
	}
	return bytes.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
			return c
		}
		return -1
	}, text)
}
