package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	p11 "github.com/miekg/pkcs11"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"
)

// The first arguments of a test binary that is to run bareMain.
const (
	barePKCS11Arg = "bare-pkcs11-module"
	bareKMSArg    = "bare-kms-client"
)

// bareMain is a process that uses a backend as directly as can be.
func bareMain(what string, args []string) error {
	if what == bareKMSArg {
		return bareKMSMain(args)
	}
	return barePKCS11Main(args)
}

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
	return serveBare(func(n int) error {
		var wg sync.WaitGroup
		failed := make([]error, len(sessions))
		for i, session := range sessions {
			wg.Go(func() { failed[i] = signBare(m, session, key, n*(i+1)/len(sessions)-n*i/len(sessions)) })
		}
		wg.Wait()
		return errors.Join(failed...)
	})
}

// bareKMSMain asks the service at an address for signatures with a key version,
// the arguments, as fast as its own client can.
func bareKMSMain(args []string) error {
	ctx := context.Background()
	c, err := kms.NewKeyManagementClient(ctx, option.WithEndpoint(args[0]))
	if err != nil {
		return err
	}
	defer c.Close()
	return serveBare(func(n int) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for range n {
			group.Go(func() error {
				_, err := c.AsymmetricSign(ctx, &kmspb.AsymmetricSignRequest{Name: args[1], Data: make([]byte, 32)})
				return err
			})
		}
		return group.Wait()
	})
}

// serveBare makes, for each number in a line of standard input, as many signatures
// and then writes the number to standard output.
func serveBare(sign func(n int) error) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		if err := sign(n); err != nil {
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
