package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/api/wire"
	"github.com/bundlesign/bundlesign/capgo"
	"github.com/bundlesign/bundlesign/client"
)

func (a *app) keysCommand() *cobra.Command {
	var asJSON, asPEM bool
	cmd := &cobra.Command{
		Use:   "keys [NAME]",
		Short: "List the keys of the daemon, or show one",
		Long: `Lists the keys that the daemon signs with, or shows one: its state, its custody,
and the public key. --pem prints the public key alone, exactly as it belongs into
plugins.CapacitorUpdater.publicKey of capacitor.config.json; "keys install" puts it
there. A key that is called install is shown by: bundlesign keys -- install`,
		Args: arguments("[NAME]"),
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				if len(args) == 0 && !asPEM {
					return a.listKeys(ctx, c, asJSON)
				}
				key, err := pickKey(ctx, c, args)
				if err != nil {
					return err
				}
				return a.showKey(key, asJSON, asPEM)
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asPEM, "pem", false, "print the public key alone")
	cmd.MarkFlagsMutuallyExclusive("json", "pem")
	cmd.AddCommand(a.keysInstallCommand())
	return cmd
}

func (a *app) listKeys(ctx context.Context, c *client.Client, asJSON bool) error {
	keys, err := c.Keys(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(&wire.KeyList{Keys: keys})
	}
	var t table
	t.Row("NAME", "STATE", "CUSTODY", "KEY ID", "APPS")
	for _, k := range keys {
		custody := ""
		if k.Custody != nil {
			custody = k.Custody.Level
		}
		t.Row(k.Name, k.State, orDash(custody), k.KeyID, strings.Join(k.Apps, " "))
	}
	return a.print(t.String())
}

// pickKey returns the key that was named, or the only one there is.
func pickKey(ctx context.Context, c *client.Client, args []string) (*wire.Key, error) {
	if len(args) > 0 {
		return c.Key(ctx, args[0])
	}
	keys, err := c.Keys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, &inputError{err: fmt.Errorf("the daemon has %d keys, want the name of one", len(keys)), hint: "bundlesign keys lists them"}
	}
	return &keys[0], nil
}

func (a *app) showKey(k *wire.Key, asJSON, asPEM bool) error {
	if asJSON {
		return a.printJSON(k)
	}
	public, err := publicKeyOf(k)
	if err != nil {
		return err
	}
	if asPEM {
		return a.print(public.PEM())
	}
	var t table
	t.Row("name", k.Name)
	t.Row("state", k.State)
	if k.Detail != "" {
		t.Row("detail", k.Detail)
	}
	t.Row("apps", strings.Join(k.Apps, " "))
	if k.OnlyOnRequest {
		t.Row("signs", "only for requests that name it: bundlesign sign --key "+k.Name)
	}
	if len(k.Replicas) > 1 {
		for i, r := range k.Replicas {
			t.Row(fmt.Sprintf("replica %d", i+1), describeReplica(r))
		}
	} else {
		t.Row("uri", k.URI)
	}
	t.Row("key id", public.KeyID())
	t.Row("fingerprint", public.Fingerprint())
	t.Row("custody demanded", k.CustodyDemand)
	if k.Custody != nil {
		t.Row("custody shown", fmt.Sprintf("%s (%s)", k.Custody.Level, k.Custody.Backend))
		for _, name := range slices.Sorted(maps.Keys(k.Custody.Evidence)) {
			t.Row("  "+name, k.Custody.Evidence[name])
		}
	}
	t.Row("last checked", orDash(k.LastCheckedAt))
	t.Row("waiting", fmt.Sprint(k.WaitingInQueue))
	return a.print(t.String() + "\n" + public.PEM())
}

// publicKeyOf returns the public key in an answer, if the answer agrees with itself.
func publicKeyOf(k *wire.Key) (*capgo.PublicKey, error) {
	public, err := capgo.ParsePublicKeyPEM([]byte(k.PublicKey))
	if err != nil {
		return nil, &client.UntrustedError{Part: "public_key", Err: err}
	}
	if public.Fingerprint() != k.Fingerprint {
		return nil, &client.UntrustedError{Part: "fingerprint", Err: errors.New("it is not that of the public key")}
	}
	return public, nil
}

func describeReplica(r wire.Replica) string {
	text := r.URI + ": " + r.State
	if r.InUse {
		text += ", in use"
	}
	if r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	return text
}
