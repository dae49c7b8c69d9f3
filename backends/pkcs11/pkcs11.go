// Package pkcs11 uses private keys in a token that a vendor's PKCS#11 module
// gives access to: an HSM, a smart card, a TPM, or SoftHSM2.
//
// The module itself runs in a child process, one per token (package child). This
// package is the daemon's side: it starts the child, reads the PIN, sends
// typed orders, puts a deadline on each, and starts a new child after a crash
// or a hang. It needs no cgo.
//
// Invariants. The child is believed in nothing: a frame too long, an answer to
// no question or a signature of the wrong length ends it, and what it says is
// shown quoted, cut, and without the PIN. A PIN that the token refused is not tried
// again, over any number of restarts (package pinrecord). No call waits for a module
// longer than its deadline. After [Module.Close] there is no process and no
// goroutine.
package pkcs11

import (
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/uri"
)

// Backend is the name of this backend in custody evidence.
const Backend = "pkcs11"

const (
	// DefaultSessions is how many sessions a token is used with, if neither it
	// nor the configuration says less.
	DefaultSessions = 8
	// MaxSessions is the largest number of sessions that may be configured.
	MaxSessions = 256
	// DefaultTimeout is how long the module may take for one order.
	DefaultTimeout = 10 * time.Second

	// openTimeout is the least that loading the module and logging in may take:
	// a network HSM connects at that moment.
	openTimeout = 10 * time.Second
)

// Config says which token to use, and with what.
type Config struct {
	// ModulePath is the absolute path of the vendor's library, or "" if ModuleName
	// says which it is: NAME.so or libNAME.so in one of ModuleDirs.
	ModulePath string
	ModuleName string
	// ModuleDirs are patterns of [filepath.Glob]; nil means the directories where
	// systems keep modules.
	ModuleDirs []string
	// InitArgs is given to the module's C_Initialize, if it is not empty.
	InitArgs string
	Token    uri.Token
	PIN      uri.PINSource
	// PINRecords is the directory, an absolute path, in which attempts to log in
	// are recorded, so that restarts never lock a token. Its parent must be there.
	// Without it they are kept in memory.
	PINRecords string
	// PadTimeout is how long a person has to type the PIN on the token's own
	// keypad; 0 means [DefaultPadTimeout].
	PadTimeout time.Duration
	// CredentialsDir is where systemd put the unit's credentials
	// ($CREDENTIALS_DIRECTORY), or "".
	CredentialsDir string
	// ChildCommand is the command that runs package child: program and
	// arguments. It inherits the environment, which modules are often
	// configured with, except what is addressed to the daemon itself.
	ChildCommand []string
	Logger       *zap.Logger
}

// String names the token and its module for messages.
func (c *Config) String() string {
	token := c.Token.String()
	if token == "" {
		token = "the only token"
	}
	return token + " (" + c.module() + ")"
}

// module names the module as the configuration does.
func (c *Config) module() string {
	if c.ModulePath != "" {
		return c.ModulePath
	}
	return "module-name=" + c.ModuleName
}
