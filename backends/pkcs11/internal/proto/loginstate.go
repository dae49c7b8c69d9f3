package proto

// Forbids returns the fault that says why no attempt with a PIN may be made, or nil.
// Both sides ask: the daemon before it writes an attempt down, the child in the
// moment before it makes it.
func (s *LoginState) Forbids() *Fault {
	switch {
	case s.Unset:
		return &Fault{Kind: KindPINUnset}
	case s.Locked:
		return &Fault{Kind: KindPINLocked}
	case s.FinalTry:
		return &Fault{Kind: KindPINFinalTry}
	}
	return nil
}
