package faultmodule

import "github.com/bundlesign/bundlesign/backends/pkcs11/ckr"

// SetFlags has the token's CK_TOKEN_INFO.flags show some flags and not others.
func (m *Module) SetFlags(set, clear uint64) {
	m.control.words[setFlags].Store(set)
	m.control.words[clearFlags].Store(clear)
}

// SetMaxSessions has the token say that it allows so many sessions.
func (m *Module) SetMaxSessions(n uint64) { m.control.words[maxSessions].Store(n) }

// LimitSessions has each process be refused more sessions than n with
// CKR_SESSION_COUNT, whatever the token says; 0: no limit.
func (m *Module) LimitSessions(n uint64) { m.control.words[sessionLimit].Store(n) }

// OmitPKCS1 has the token be without CKM_RSA_PKCS, as some are in a FIPS mode.
func (m *Module) OmitPKCS1() { m.control.words[refusePKCS1].Store(mechanismMissing) }

// RefuseShortPKCS1 has C_Sign with CKM_RSA_PKCS return a code for data that is no
// DigestInfo.
func (m *Module) RefuseShortPKCS1(code ckr.Code) {
	m.control.words[refuseCode].Store(uint64(code))
	m.control.words[refusePKCS1].Store(digestInfoOnly)
}

// WantInitArgs has C_Initialize return CKR_ARGUMENTS_BAD without a reserved
// argument, as NSS does. The real module does not see the argument.
func (m *Module) WantInitArgs() { m.control.words[wantInitArgs].Store(1) }

// InitArgs returns the reserved argument of the newest C_Initialize, up to its
// first zero byte.
func (m *Module) InitArgs() string { return m.control.text(initArgsAt, initArgsSize) }

// TypePIN has somebody type this PIN on the token's keypad whenever C_Login is
// called without one. The token must show CKF_PROTECTED_AUTHENTICATION_PATH, see
// [Module.SetFlags].
func (m *Module) TypePIN(pin string) {
	m.t.Helper()
	if err := m.control.setText(typedPINAt, typedPINSize, pin); err != nil {
		m.t.Fatal(err)
	}
	m.control.words[typedPINLen].Store(uint64(len(pin)))
}

// Claim has every object say this of one of its CK_BBOOL attributes.
func (m *Module) Claim(attribute uint64, value bool) {
	m.t.Helper()
	for i := range maxLies {
		w := m.control.lie(i)
		if w[0].Load() == 1 && w[1].Load() != attribute {
			continue
		}
		w[1].Store(attribute)
		w[2].Store(0)
		if value {
			w[2].Store(1)
		}
		w[0].Store(1)
		return
	}
	m.t.Fatalf("the fake module lies about %d attributes at most", maxLies)
}
