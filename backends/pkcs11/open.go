package pkcs11

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/ckr"
	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
	"github.com/bundlesign/bundlesign/backends/pkcs11/pinrecord"
)

// maxTokenText is the longest field of CK_TOKEN_INFO in bytes, with room for what
// making it UTF-8 may add.
const maxTokenText = 128

// start makes a new child the current one.
func (m *Module) start() error {
	// Without a PIN to try, no child need be started: that costs nothing, and
	// is no reason to wait before the next time.
	s, err := m.nextPIN()
	backOff := err != nil && m.cfg.PIN.Command != "" // but a program is not run for each request
	var p *process
	if err == nil {
		if p, err = m.open(s); wantsReload(err) {
			p, err = m.open(s)
		}
		backOff = err != nil && (m.cfg.PIN.Command != "" || !m.isBlocked(s))
		s.clear()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempt = nil
	if err != nil {
		err = m.explain(m.name, err)
		if backOff {
			m.failed(err)
		}
		return err
	}
	m.current = p
	return nil
}

// nextPIN reads the PIN, and fails if it is known already that it will not be tried.
func (m *Module) nextPIN() (*secret, error) {
	s, err := m.pin.read(m.ctx)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, m.padUnanswered()
	}
	if err := m.records.Blocked(s.value); err != nil {
		s.clear()
		return nil, m.notTried(err)
	}
	return s, nil
}

// wantsReload reports whether a module failed while it was opened in a way that a
// fresh process may not, as SoftHSM does while another process writes to the token.
// A login is not repeated for that.
func wantsReload(err error) bool {
	var fault *proto.Fault
	return errors.As(err, &fault) && fault.Kind == proto.KindCall && fault.Call != "C_Login" && fault.Code.Class() == ckr.Reload
}

// isBlocked reports whether the next attempt will be found hopeless without starting
// a child.
func (m *Module) isBlocked(s *secret) bool {
	if s == nil {
		return m.padUnanswered() != nil
	}
	return m.records.Blocked(s.value) != nil
}

// open starts a child and has it load the module, find the token and log in.
func (m *Module) open(s *secret) (*process, error) {
	path, err := m.cfg.path()
	if err != nil {
		return nil, err
	}
	p, err := startProcess(m.cfg.ChildCommand, m.log, m.pin.strike)
	if err != nil {
		return nil, err
	}
	p.module = path
	err = m.openIn(p)
	if err == nil {
		err = m.logIn(p, s)
	}
	if err != nil {
		p.end(err)
		return nil, errors.Join(err, p.waitGone())
	}
	m.log.Info("pkcs11 module opened", zap.Int("pid", p.cmd.Process.Pid), zap.Int("sessions", p.sessions),
		zap.String("token_label", p.opened.Token.Label), zap.String("token_serial", p.opened.Token.Serial),
		zap.String("library", p.opened.Library))
	return p, nil
}

func (m *Module) openIn(p *process) error {
	m.mu.Lock()
	sessions := m.sessions
	m.mu.Unlock()
	want := m.cfg.Token
	body, err := proto.Encode(proto.Open{
		Module:   p.module,
		InitArgs: m.cfg.InitArgs,
		Token: proto.Token{
			Label: want.Label, Serial: want.Serial, Manufacturer: want.Manufacturer, Model: want.Model,
			SlotID: want.SlotID, HasSlotID: want.HasSlotID,
		},
		Sessions: sessions,
	})
	if err != nil {
		return err
	}
	if err := p.askFor(m.ctx, proto.OpOpen, body, &p.opened, m.openTimeout()); err != nil {
		return err
	}
	p.sessions = p.opened.Sessions
	if p.sessions < 1 || p.sessions > sessions {
		return fmt.Errorf("the module's process broke the protocol: it offers %d sessions of %d", p.sessions, sessions)
	}
	says := p.opened.Token
	for _, text := range []string{says.Label, says.Serial, says.Manufacturer, says.Model} {
		if len(text) > maxTokenText {
			return fmt.Errorf("the module's process broke the protocol: the token says %d bytes of itself in one field, want at most %d", len(text), maxTokenText)
		}
	}
	p.identity = pinrecord.Token{Label: says.Label, Manufacturer: says.Manufacturer, Model: says.Model, Serial: says.Serial}
	p.slots = make(chan struct{}, p.sessions+ahead)
	p.opened.Token.Label = p.show(p.opened.Token.Label)
	p.opened.Token.Serial = p.show(p.opened.Token.Serial)
	p.opened.Token.Manufacturer = p.show(p.opened.Token.Manufacturer)
	p.opened.Token.Model = p.show(p.opened.Token.Model)
	p.opened.Library = p.show(p.opened.Library)
	return nil
}

// openTimeout is how long each step of opening may take.
func (m *Module) openTimeout() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.timeout
}

// login logs in again in a child. If that fails the child is ended: what was
// found in it is of no use.
func (m *Module) login(p *process) error {
	s, err := m.nextPIN()
	if err == nil {
		err = m.logIn(p, s)
		s.clear()
	}
	if err != nil {
		err = m.explain(m.name, err)
		p.end(err)
		return err
	}
	m.log.Info("pkcs11 token logged in again", zap.Int("pid", p.cmd.Process.Pid))
	return nil
}
