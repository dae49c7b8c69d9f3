package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	p11 "github.com/miekg/pkcs11"
	"google.golang.org/api/option"
)

// bareArg is the first argument of a test binary that is to run barePKCS11Main.
const bareArg = "bare-pkcs11-module"

// barePKCS11Main has a PKCS#11 module sign as fast as can be, with a session for
// each of benchClients threads: what the daemon is compared with. For each number
// in a line of standard input it makes as many signatures and then writes the
// number to standard output. The arguments are module, token, PIN and key.
func barePKCS11Main(args []string) error {
	m := p11.New(args[0])
	if m == nil {
		return fmt.Errorf("cannot load %s", args[0])
	}
	if err := m.Initialize(); err != nil {
		return err
	}
	slots, err := m.GetSlotList(true)
	if err != nil {
		return err
	}
	var slot uint
	found := false
	for _, s := range slots {
		if info, err := m.GetTokenInfo(s); err == nil && strings.TrimRight(info.Label, " ") == args[1] {
			slot, found = s, true
		}
	}
	if !found {
		return fmt.Errorf("no token %q", args[1])
	}
	var sessions [benchClients]p11.SessionHandle
	for i := range sessions {
		if sessions[i], err = m.OpenSession(slot, p11.CKF_SERIAL_SESSION); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if err := m.Login(sessions[0], p11.CKU_USER, args[2]); err != nil {
			return err
		}
	}
	key, err := bareKeyOf(m, sessions[0], args[3])
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		failed := make([]error, len(sessions))
		for i, session := range sessions {
			wg.Go(func() { failed[i] = signBare(m, session, key, n*(i+1)/len(sessions)-n*i/len(sessions)) })
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
		fmt.Println(n)
	}
	return lines.Err()
}

func bareKeyOf(m *p11.Ctx, session p11.SessionHandle, label string) (p11.ObjectHandle, error) {
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), p11.NewAttribute(p11.CKA_LABEL, label)}
	if err := m.FindObjectsInit(session, template); err != nil {
		return 0, err
	}
	found, _, err := m.FindObjects(session, 2)
	if err := errors.Join(err, m.FindObjectsFinal(session)); err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%d keys %q", len(found), label)
	}
	return found[0], nil
}

func signBare(m *p11.Ctx, session p11.SessionHandle, key p11.ObjectHandle, n int) error {
	mechanism := []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS, nil)}
	digest := make([]byte, 32)
	for range n {
		if err := m.SignInit(session, mechanism, key); err != nil {
			return err
		}
		if _, err := m.Sign(session, digest); err != nil {
			return err
		}
	}
	return nil
}

func endpoint(addr string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(addr)}
}
