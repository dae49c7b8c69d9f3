package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bundlesign/bundlesign/audit"
	"github.com/bundlesign/bundlesign/backends/file"
	"github.com/bundlesign/bundlesign/config"
)

func newKeyImportCommand(shared *keyFlags) *cobra.Command {
	flags := &makeFlags{keyFlags: shared}
	var from string
	cmd := &cobra.Command{
		Use:   "import URI --from FILE",
		Short: "Bring a private key from a file into a backend",
		Long: `Bring the private key that "npx @capgo/cli key create" left in .capgo_key_v2, or any
RSA-2048 key in PKCS#1 or PKCS#8 PEM, into a token, Vault or Cloud KMS. Apps in the field
carry its public half already, and go on working. What will be done is said first.

The file is read once and never copied; it stays where it is, and what is to be done
about it is printed at the end. A key that was in a file can be copied by whoever could
read it: plan to replace it by one that a backend made.`,
		Example: `  bundlesignd key import 'pkcs11:token=prod;object=acme-shop?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/bundlesignd/pin' \
    --from .capgo_key_v2 --name acme-shop --app com.acme.shop --out acme-shop.pub.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				return &usageError{errors.New("--from: found nothing, want the file with the private key")}
			}
			if err := flags.check(); err != nil {
				return err
			}
			cfg, err := flags.load()
			if err != nil {
				return err
			}
			return importKey(cmd, flags, cfg, args[0], from)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the `file` with the private key, in PEM, readable by its owner alone (required)")
	return cmd
}

func importKey(cmd *cobra.Command, flags *makeFlags, cfg *config.Config, uri, from string) error {
	private, public, err := file.ReadPrivate(from)
	if err != nil {
		return &usageError{fmt.Errorf("--from: %w", err)}
	}
	defer file.Forget(private)
	plan := []string{
		fmt.Sprintf("The private key in %s is read; its public key is %s, key id %s.", from, public.Fingerprint(), public.KeyID()),
	}
	for _, k := range cfg.Keys {
		if k.PublicKey.Equal(public) {
			plan = append(plan, fmt.Sprintf("It is the key that the configuration has as %q: apps that carry it go on working.", k.Name))
		}
	}
	plan = append(plan, "The file stays as it is, and nothing is copied to another file.")
	m := &making{flags: flags, cfg: cfg, log: keyLogger(cmd), action: audit.KeyImport, uri: uri, private: private, public: public}
	out, err := m.run(cmd, plan)
	if err != nil {
		return err
	}
	if err := m.report(cmd, out); err != nil {
		return err
	}
	return explainFile(cmd.OutOrStdout(), from)
}

// explainFile says what is to become of a key file that is not needed any more.
func explainFile(w io.Writer, from string) error {
	if abs, err := filepath.Abs(from); err == nil {
		from = abs
	}
	_, err := fmt.Fprintf(w, `
The private key is still in %[1]s too, and whoever has a copy of that can sign without
the log, the policy and the backend. Once the daemon signs with the imported key, check
that an app accepts it, and then destroy every copy:

  shred -u %[2]s

* shred overwrites the file only where the file system does so in place. On an SSD, on
  Btrfs, ZFS or another file system that copies on write, and in snapshots, the old blocks
  stay: encrypt or wipe the whole volume.
* Copies elsewhere: secrets of the CI (CAPGO_PRIVATE_KEY and the like), other runners and
  laptops, password managers, mail and chat, container images and caches, backups.
* If it was ever committed to git, it is in the history and in every clone: rewriting
  the history does not take it out of those.
* What was in a file can be in a place that nobody remembers. Its custody is
  non-extractable at best, never more. Plan to replace it by a key that the backend
  made: docs/operations.md, "Replacing a key".
`, from, config.ShellQuote(from))
	return err
}
