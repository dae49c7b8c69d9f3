package pkcs11

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// start makes a new child the current one.
func (m *Module) start() error {
	// Without a PIN to try, no child need be started: that costs nothing, and
	// is no reason to wait before the next time.
	secret, err := m.pin.read()
	var p *process
	backOff := false
	if err == nil {
		p, err = m.open(secret)
		backOff = err != nil && !refusedPIN(err)
		clear(secret)
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

// open starts a child and has it load the module, find the token and log in.
func (m *Module) open(secret []byte) (*process, error) {
	p, err := startProcess(m.cfg.ChildCommand, m.log, m.pin.strike)
	if err != nil {
		return nil, err
	}
	if err := m.openIn(p, secret); err != nil {
		p.end(err)
		return nil, errors.Join(err, p.waitGone())
	}
	m.log.Info("pkcs11 module opened", zap.Int("pid", p.cmd.Process.Pid), zap.Int("sessions", p.sessions),
		zap.String("token_label", p.opened.Token.Label), zap.String("token_serial", p.opened.Token.Serial),
		zap.String("library", p.opened.Library))
	return p, nil
}

func (m *Module) openIn(p *process, secret []byte) error {
	m.mu.Lock()
	sessions, timeout := m.sessions, m.timeout
	m.mu.Unlock()
	want := m.cfg.Token
	body, err := proto.Encode(proto.Open{
		Module: m.cfg.ModulePath,
		Token: proto.Token{
			Label: want.Label, Serial: want.Serial, Manufacturer: want.Manufacturer, Model: want.Model,
			SlotID: want.SlotID, HasSlotID: want.HasSlotID,
		},
		Sessions: sessions,
		Login:    proto.Login{PIN: secret},
	})
	if err != nil {
		return err
	}
	defer clear(body)
	got, err := p.ask(m.ctx, proto.OpOpen, body, timeout)
	if err != nil {
		m.remember(secret, err)
		return err
	}
	if err := proto.Decode(got, &p.opened); err != nil {
		return fmt.Errorf("the module's process broke the protocol: %w", err)
	}
	p.sessions = p.opened.Sessions
	if p.sessions < 1 || p.sessions > sessions {
		return fmt.Errorf("the module's process broke the protocol: it offers %d sessions of %d", p.sessions, sessions)
	}
	p.slots = make(chan struct{}, p.sessions+ahead)
	p.opened.Token.Label = p.show(p.opened.Token.Label)
	p.opened.Token.Serial = p.show(p.opened.Token.Serial)
	p.opened.Token.Manufacturer = p.show(p.opened.Token.Manufacturer)
	p.opened.Token.Model = p.show(p.opened.Token.Model)
	p.opened.Library = p.show(p.opened.Library)
	return nil
}

// login logs in again in a child. If that fails the child is ended: what was
// found in it is of no use.
func (m *Module) login(p *process) error {
	if err := m.loginIn(p); err != nil {
		err = m.explain(m.name, err)
		p.end(err)
		return err
	}
	m.log.Info("pkcs11 token logged in again", zap.Int("pid", p.cmd.Process.Pid))
	return nil
}

func (m *Module) loginIn(p *process) error {
	secret, err := m.pin.read()
	if err != nil {
		return err
	}
	defer clear(secret)
	body, err := proto.Encode(proto.Login{PIN: secret})
	if err != nil {
		return err
	}
	defer clear(body)
	m.mu.Lock()
	timeout := m.timeout
	m.mu.Unlock()
	if _, err = p.ask(m.ctx, proto.OpLogin, body, timeout); err != nil {
		m.remember(secret, err)
		return err
	}
	return nil
}

// remember remembers the PIN if the token did not take it.
func (m *Module) remember(secret []byte, err error) {
	if refusedPIN(err) {
		m.pin.refuse(secret)
		m.log.Error("the pkcs11 token refused the PIN; it is not tried again until the file with it changes")
	}
}
