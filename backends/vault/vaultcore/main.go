// Command vaultcore runs a real Vault server for tests: the core, HTTP API, transit
// engine and auth methods of HashiCorp Vault, with its state in a directory. go.mod
// makes it release 1.13.0, v1.21.0.mod makes it 1.21.0.
//
// It is for tests only, and takes its orders from one: it listens on loopback with
// the TLS certificate it is given, initialises and unseals an empty state with one key
// share, which it prints with the root token as one line of JSON, leaves an existing
// state sealed, and ends when its standard input does.
package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	jwtauth "github.com/hashicorp/vault-plugin-auth-jwt"
	kubeauth "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
	"golang.org/x/sys/unix"
)

// hello is the line that is printed once the API answers.
type hello struct {
	Address string `json:"address"`
	// Of a new state only:
	RootToken string `json:"root_token,omitempty"`
	UnsealKey string `json:"unseal_key,omitempty"`
}

func main() {
	dir := flag.String("dir", "", "where the state is")
	addr := flag.String("addr", "127.0.0.1:0", "where to listen, with SO_REUSEPORT")
	certFile := flag.String("cert", "", "TLS certificate")
	keyFile := flag.String("key", "", "its private key")
	flag.Parse()
	if err := run(*dir, *addr, *certFile, *keyFile); err != nil {
		fmt.Fprintln(os.Stderr, "vaultcore:", err)
		os.Exit(1)
	}
}

func run(dir, addr, certFile, keyFile string) error {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	core, err := newCore(dir, logger)
	if err != nil {
		return err
	}
	h, err := initialize(core)
	if err != nil {
		return err
	}
	// The test holds the port, so that it is the same after a restart.
	sharing := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if controlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); controlErr != nil {
			return controlErr
		}
		return err
	}}
	listener, err := sharing.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	h.Address = "https://" + listener.Addr().String()
	server := &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core:           core,
			ListenerConfig: &configutil.Listener{MaxRequestDuration: 90 * time.Second},
		}),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			ClientAuth:   tls.RequestClientCert, // the cert auth method checks it
			MinVersion:   tls.VersionTLS12,
		},
		ErrorLog: logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case err := <-failed:
		return err
	case <-ended:
		return nil
	}
}

func newCore(dir string, logger hclog.Logger) (*vault.Core, error) {
	storage, err := file.NewFileBackend(map[string]string{"path": dir}, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		Logger:          logger,
		DisableMlock:    true,
		ClusterName:     "bundlesign-test",
		LogicalBackends: engines,
		// Built in, so that no plugin process is started.
		CredentialBackends: authMethods,
		AuditBackends:      map[string]audit.Factory{},
		BuiltinRegistry:    registry{},
	})
}

// initialize makes a new state usable, and leaves an existing one alone.
func initialize(core *vault.Core) (hello, error) {
	ctx := context.Background()
	done, err := core.Initialized(ctx)
	if done || err != nil {
		return hello{}, err
	}
	result, err := core.Initialize(ctx, &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return hello{}, err
	}
	// Without high availability this returns when the core is active.
	if _, err := core.Unseal(append([]byte(nil), result.SecretShares[0]...)); err != nil {
		return hello{}, err
	}
	return hello{RootToken: result.RootToken, UnsealKey: hex.EncodeToString(result.SecretShares[0])}, nil
}

var engines = map[string]logical.Factory{"transit": transit.Factory}

var authMethods = map[string]logical.Factory{
	"approle":    approle.Factory,
	"cert":       cert.Factory,
	"jwt":        jwtauth.Factory,
	"kubernetes": kubeauth.Factory,
}

// registry tells Vault's plugin catalog what is built in.
type registry struct{}

func (registry) of(kind consts.PluginType) map[string]logical.Factory {
	switch kind {
	case consts.PluginTypeSecrets:
		return engines
	case consts.PluginTypeCredential:
		return authMethods
	}
	return nil
}

func (r registry) Contains(name string, kind consts.PluginType) bool {
	_, ok := r.of(kind)[name]
	return ok
}

func (r registry) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, ok := r.of(kind)[name]
	return func() (interface{}, error) { return factory, nil }, ok
}

func (r registry) Keys(kind consts.PluginType) []string {
	var names []string
	for name := range r.of(kind) {
		names = append(names, name)
	}
	return names
}

// IsBuiltinEntPlugin is asked for by newer releases.
func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}
