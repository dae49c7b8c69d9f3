package config

import (
	"os"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/mod/sumdb/note"

	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/policy"
	"github.com/bundlesign/bundlesign/signer"
)

// Config is config.yaml, the configuration of the daemon.
//
// Relative paths are relative to the folder that holds config.yaml. Nothing
// secret stands in it: PINs, tokens and private keys are named by path.
type Config struct {
	// The folder of the daemon's state: the SQLite database with the requests
	// and the audit log, and the lock that keeps a second daemon out. It belongs
	// to the daemon alone (mode 0700).
	StateDir string `yaml:"state_dir" kind:"path"`

	// The Unix socket on which the API is served.
	Socket Socket `yaml:"socket"`

	// The file with the rules that say who may have what signed.
	PolicyPath string `yaml:"policy" kind:"path"`

	// Whether private keys in files ("file:" keys) may be used at all. They are
	// for development: whoever can read the file can sign, unseen. Without this,
	// a daemon with such a key does not start.
	AllowSoftwareKeys bool `yaml:"allow_software_keys"`

	// The private keys.
	Keys []Key `yaml:"keys" need:"required" range:"1..256"`

	// The services whose OIDC ID tokens say which CI job is asking, in addition to
	// what the kernel says of the user. A token of any other, and one that is not
	// good, refuses the request that it came with.
	TokenIssuers []TokenIssuer `yaml:"token_issuers" range:"0..16" example:"\n  - {name: github, issuer: \"https://token.actions.githubusercontent.com\", audience: \"https://bundlesign.example.com\"}"`

	// The transparency log: every decision and every use of a key is an entry in
	// it.
	Log Log `yaml:"log" need:"required"`

	// Limits that keep one caller, or one slow key, from stopping everybody.
	Limits Limits `yaml:"limits"`

	// What the daemon says of itself on stderr.
	Logging Logging `yaml:"logging"`

	// Policy is what PolicyPath holds; [Load] sets it.
	Policy *policy.Policy `yaml:"-"`
	// PolicyRules is the number of rules in Policy.
	PolicyRules int `yaml:"-"`
}

// Socket is where the API is served and who may connect. Under systemd socket
// activation the socket unit decides all of this, and these fields are ignored.
type Socket struct {
	// Where the socket is made. Linux allows at most 107 bytes.
	Path string `yaml:"path" kind:"path"`

	// The permissions of the socket: four octal digits in quotes. Who may write
	// may connect; what they may have signed is for the policy to say.
	Mode os.FileMode `yaml:"mode"`

	// The group that owns the socket, by name. Empty: the daemon's own.
	Group string `yaml:"group"`
}

// Key is one private key: where it is, what it must prove, and for which app it
// signs.
type Key struct {
	// What the key is called in requests, answers and the log: lower-case
	// letters, digits and hyphens, at most 63.
	Name string `yaml:"name" need:"required"`

	// Where the private key is. "pkcs11:token=prod;object=acme-shop" is a key in
	// an HSM (RFC 7512; module-path names the vendor's library and pin-source a
	// file with the PIN, which never stands in the URI itself).
	// "hashivault://transit/acme-shop?version=1&address=https://vault:8200" is a
	// version of a key in Vault (docs/backends.md says how to log in).
	// "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1"
	// is a key version in Google Cloud KMS. "file:acme-shop.key.pem" is a PEM file,
	// for development.
	URI string `yaml:"uri" need:"required" kind:"uri"`

	// The pin: the public key that this must turn out to be, as a path to the
	// PEM file that the app carries (PKCS#1, "BEGIN RSA PUBLIC KEY"; RSA-2048 with
	// exponent 65537). Every signature is checked against it.
	PublicKeyPath string `yaml:"public_key" need:"required" kind:"path"`

	// Where the same private key is besides, in the order in which the places are
	// to be used while those before them cannot be: a second token, region or
	// server. Each must show the same public key and prove the same custody.
	Replicas []string `yaml:"replicas" kind:"uri" range:"0..7" example:"['pkcs11:token=spare;object=acme-shop?module-path=/usr/lib/vendor.so&pin-source=/etc/bundlesignd/pin']"`

	// The ids of the apps whose updates the key signs, in full. A signature does
	// not say which app it was made for, so a key belongs to one app: more than
	// one is a warning.
	Apps []string `yaml:"apps" need:"required" range:"1..100"`

	// Whether the key signs only for requests that name it ("bundlesign sign
	// --key NAME"). So two keys can stand side by side for one app while its users
	// move from the old to the new: all but one of them need this.
	OnlyOnRequest bool `yaml:"only_on_request"`

	// The least that the key's backend must prove, or the key is not used.
	// "software": nothing. "non-extractable": the backend holds the key and does
	// not give it out. "never-extractable": it also made the key and could never
	// give it out. A "file:" key can prove no more than "software".
	Custody signer.CustodyLevel `yaml:"custody" oneof:"software non-extractable never-extractable"`

	// How many signatures a token or Cloud KMS is asked for at once; other keys
	// ignore it.
	MaxSessions int `yaml:"max_sessions" range:"1..256"`

	// How long one operation of the key may take before it counts as failed.
	Timeout time.Duration `yaml:"timeout" range:"100ms..5m"`

	// PublicKey is what PublicKeyPath holds; [Load] sets it.
	PublicKey *capgo.PublicKey `yaml:"-"`
}

// Log is the transparency log's name and key.
type Log struct {
	// The name of the log, which stands in every checkpoint: unique in the
	// world, like a URL without its scheme, such as "example.com/bundlesign".
	// It cannot be changed later.
	Origin string `yaml:"origin" need:"required"`

	// The Ed25519 key that signs checkpoints, as "bundlesignd init" makes it: a
	// file that only the daemon and root can read. Not used if there is a uri.
	KeyPath string `yaml:"key" kind:"path"`

	// Where that key is if it is in a backend, as for the keys of apps. A token
	// needs CKM_EDDSA, Vault a key of type ed25519, Cloud KMS one of algorithm
	// EC_SIGN_ED25519. While it cannot be used, nothing is signed at all.
	URI string `yaml:"uri" kind:"uri"`

	// The pin, with a uri: the verifier key of the log, one line, such as
	// "bundlesignd key create --log" prints it. A checkpoint that does not verify
	// with it is not used.
	PublicKey string `yaml:"public_key"`

	// How long the backend may take to sign a checkpoint; for a file it has no
	// effect.
	Timeout time.Duration `yaml:"timeout" range:"100ms..1m"`

	// Signer is the key in KeyPath, named Origin; [Load] sets it, unless there is
	// a URI.
	Signer note.Signer `yaml:"-"`
	// VerifierKey is the public half, in the form of [note.NewVerifier].
	VerifierKey string `yaml:"-"`
}

// Limits bound what callers can ask of the daemon.
type Limits struct {
	// The largest body of a request.
	BodyBytes ByteSize `yaml:"body_bytes" range:"1KiB..64MiB"`

	// The most files of a delta update that one request may have.
	Files int `yaml:"files" range:"1..100000"`

	// How many requests one user may make in a second, on average.
	RequestsPerSecond int `yaml:"requests_per_second" range:"1..100000"`

	// How many requests one user may make at once before that average counts.
	Burst int `yaml:"burst" range:"1..100000"`

	// How many connections one user may have open.
	Connections int `yaml:"connections" range:"1..10000"`

	// How many requests may wait for one key. Further ones are told to come back.
	Queue int `yaml:"queue" range:"1..100000"`

	// How many requests of one user may wait for approvals. Further ones are
	// refused.
	Pending int `yaml:"pending" range:"1..10000"`

	// How long an authorized request is tried again while its key cannot be
	// reached, before it fails. It counts from the last of its signatures that was
	// made, and not while others have their turn.
	SigningTimeout time.Duration `yaml:"signing_timeout" range:"1s..24h"`
}

// Logging is about the daemon's own messages, not the transparency log.
type Logging struct {
	// The least important messages that are written.
	Level zapcore.Level `yaml:"level" oneof:"debug info warn error"`
}

// Default returns the configuration that an empty file would mean: every field
// that has a default has it, those that are required are empty.
func Default() *Config {
	return &Config{
		StateDir:   "/var/lib/bundlesignd",
		Socket:     Socket{Path: "/run/bundlesignd/bundlesignd.sock", Mode: 0o660},
		PolicyPath: "policy.yaml",
		Log:        Log{KeyPath: "log.key", Timeout: 10 * time.Second},
		Limits: Limits{
			BodyBytes:         8 * MiB,
			Files:             20000,
			RequestsPerSecond: 200,
			Burst:             400,
			Connections:       64,
			Queue:             1024,
			Pending:           100,
			SigningTimeout:    15 * time.Minute,
		},
		Logging: Logging{Level: zapcore.InfoLevel},
	}
}

// DefaultKey returns what each entry of keys begins with.
func DefaultKey() Key {
	return Key{Custody: signer.NonExtractable, MaxSessions: 8, Timeout: 10 * time.Second}
}
