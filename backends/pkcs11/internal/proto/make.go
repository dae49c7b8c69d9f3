package proto

// The conversation about a new key. [OpSurvey] only looks. Making begins with
// [OpGenerate] or [OpWrapping], which open the one place in the child where keys are
// made, and ends with [OpSettle], which closes it. In between, what was made can
// be taken back, and by nothing else: the child destroys no object that it did
// not make itself since the place was opened.

// KeyType is what kind of key is to be made.
type KeyType string

// The types.
const (
	RSA2048 KeyType = "rsa-2048" // exponent 65537
	Ed25519 KeyType = "ed25519"  // RFC 8032
)

// NewKey says what a new key is to be called in the token: CKA_LABEL and CKA_ID,
// both needed.
type NewKey struct {
	Type  KeyType `json:"type"`
	Label []byte  `json:"label"`
	ID    []byte  `json:"id"`
}

// Survey asks what the token would need for a key, and what stands in its way.
type Survey struct {
	Type  KeyType `json:"type"`
	Label []byte  `json:"label,omitempty"`
	ID    []byte  `json:"id,omitempty"`
}

// Surveyed is what the child saw. Objects are counted up to a few.
type Surveyed struct {
	SameLabel      int   `json:"same_label"` // private and public keys with the label
	SameID         int   `json:"same_id"`    // and with the id
	WriteProtected bool  `json:"write_protected"`
	Generates      bool  `json:"generates"` // keys of the type
	OAEP           bool  `json:"oaep"`      // unwraps with CKM_RSA_PKCS_OAEP
	Ways           []Way `json:"ways"`      // unwraps so too, in order of preference
}

// Way is a mechanism by which a token unwraps a private key with an AES key.
type Way string

// The ways, in order of preference. CKM_AES_KEY_WRAP_PAD is two of them: the
// standard's first text left open which padding it meant, and modules differ.
const (
	WayKWP   Way = "CKM_AES_KEY_WRAP_KWP"                     // RFC 5649
	WayPad   Way = "CKM_AES_KEY_WRAP_PAD"                     // RFC 5649
	WayPKCS7 Way = "CKM_AES_KEY_WRAP_PAD with PKCS#7 padding" // RFC 3394
	WayCBC   Way = "CKM_AES_CBC_PAD"                          // with an IV
)

// BeginImport begins the import of a key.
type BeginImport struct{}

// Wrapping is the public half of a key pair that the child had the token make for
// this import alone; its private half can unwrap and is gone when the making is
// settled.
type Wrapping struct {
	Modulus  []byte `json:"modulus"`  // big-endian
	Exponent []byte `json:"exponent"` // big-endian
}

// Hash is the hash that RSA-OAEP is made with, in both of its places.
type Hash string

// The hashes.
const (
	SHA1   Hash = "SHA-1"
	SHA256 Hash = "SHA-256"
)

// UnwrapKEK has the token unwrap an AES-256 key with the key pair of [Wrapping].
type UnwrapKEK struct {
	Hash    Hash   `json:"hash"`
	Wrapped []byte `json:"wrapped"`
}

// UnwrapKey has the token unwrap an RSA private key, PKCS#8, with the AES key.
type UnwrapKey struct {
	Way     Way    `json:"way"`
	IV      []byte `json:"iv,omitempty"` // 16 bytes for [WayCBC]
	Wrapped []byte `json:"wrapped"`
	Key     NewKey `json:"key"`
	// Durable: in the token, with a public key beside it. Otherwise the key is
	// gone when the making is settled: it is only seen whether the token can do
	// it, and what comes of it.
	Durable bool `json:"durable"`
	// Modulus and Exponent are the key's public half, for the public key beside
	// it.
	Modulus  []byte `json:"modulus,omitempty"`
	Exponent []byte `json:"exponent,omitempty"`
}

// Made is what the token says of the key that it has made or unwrapped.
type Made struct {
	Modulus  []byte `json:"modulus,omitempty"`  // RSA, big-endian
	Exponent []byte `json:"exponent,omitempty"` // RSA, big-endian
	Point    []byte `json:"point,omitempty"`    // Ed25519: the 32 bytes of RFC 8032, section 5.1.2
	// Attributes are the CK_BBOOL attributes that the token answers for, by
	// name.
	Attributes map[string]bool `json:"attributes"`
	// Refused are the attributes that the token did not take in its template.
	Refused []string `json:"refused,omitempty"`
	// NoPublic is why there is no public key beside an imported one.
	NoPublic string `json:"no_public,omitempty"`
}

// Settle ends the making: what was made durable stays, or is destroyed.
type Settle struct {
	Keep bool `json:"keep"`
}

// The kinds of fault that only making keys has.
const (
	KindBusy      Kind = "busy"       // another key is being made
	KindNotMaking Kind = "not-making" // there is nothing to go on with, or to settle
	KindLeft      Kind = "left"       // Count objects could not be destroyed; see Detail
)
