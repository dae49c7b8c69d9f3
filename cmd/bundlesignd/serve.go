package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/bundlesign/bundlesign/api"
	"github.com/bundlesign/bundlesign/backends"
	"github.com/bundlesign/bundlesign/config"
	"github.com/bundlesign/bundlesign/signer"
)

// How long a stop may take: first for requests being signed, then for answers
// being written.
const (
	drainTimeout    = 20 * time.Second
	shutdownTimeout = 5 * time.Second
)

// settleTime is how long after the start the memory that only that needed is given
// back: the keys have been looked at by then.
const settleTime = 5 * time.Second

func newServeCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `Run the daemon in the foreground until SIGTERM or SIGINT.

It logs to stderr: JSON, or lines when stderr is a terminal. Under systemd it
takes its socket from the socket unit and reports when it is ready. SIGHUP
reloads the policy file: all of it, or nothing if there is an error in it.

On SIGTERM it takes no new requests, finishes those that are being signed, and
ends. Requests that cannot be finished within 20 seconds are kept; the next start
signs them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, path)
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "the configuration file")
	return cmd
}

// defaultConfig is where the units and packages expect the configuration.
const defaultConfig = "/etc/bundlesignd/config.yaml"

// thisProgram is the running program itself: after an upgrade of the file on disk
// the daemon still starts children of its own version (proc(5)).
const thisProgram = "/proc/self/exe"

// wallClock is the system's clock.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func serve(cmd *cobra.Command, path string) (err error) {
	if err := harden(); err != nil {
		return err
	}
	cfg, warnings, err := config.Load(path, config.Options{
		CheckURI: backends.CheckURI, ThisMachine: true, SocketPassed: os.Getenv("LISTEN_FDS") != "",
	})
	if err != nil {
		return err
	}
	log := newLogger(cmd.ErrOrStderr(), cfg.Logging.Level)
	defer func() { err = errors.Join(err, ignoreSync(log.Sync())) }()
	for _, w := range warnings {
		log.Warn("configuration", zap.String("warning", w.String()))
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(signals)

	d, err := start(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- d.api.Serve(d.listener) }()
	log.Info("ready", zap.String("socket", d.listener.Addr().String()), zap.String("version", version()),
		zap.String("policy", cfg.Policy.Hash()), zap.Int("keys", len(cfg.Keys)), zap.String("log_key", cfg.Log.VerifierKey))
	notify(log, daemon.SdNotifyReady)
	settled := time.AfterFunc(settleTime, func() {
		if err := forgetStart(); err != nil {
			log.Debug("the memory of the start stays in use", zap.Error(err))
		}
	})
	defer settled.Stop()

	for {
		select {
		case err := <-served:
			return errors.Join(err, d.stop(log))
		case sig := <-signals:
			if sig == unix.SIGHUP {
				d.reload(cmd.Context(), path, log)
				continue
			}
			log.Info("stopping", zap.Stringer("signal", sig))
			notify(log, daemon.SdNotifyStopping)
			return d.stop(log)
		}
	}
}

// running is the daemon's parts, in the order in which they were started.
type running struct {
	state    *storeHandle
	keys     *backends.Set
	signer   *signer.Signer
	listener net.Listener
	api      *api.Server
}

// start starts all parts, or none.
func start(ctx context.Context, cfg *config.Config, log *zap.Logger) (_ *running, err error) {
	d := new(running)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	d.keys = newBackends(cfg, log)
	if d.state, err = openState(ctx, cfg, d.keys); err != nil {
		return nil, err
	}
	keys, err := openKeys(d.keys, cfg)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(cfg, log)
	if err != nil {
		return nil, err
	}
	metrics := newMetrics()
	d.signer, err = signer.New(signer.Config{
		Policy: cfg.Policy, Keys: keys, MaxFiles: cfg.Limits.Files,
		SigningTimeout: cfg.Limits.SigningTimeout, Version: version(),
		MaxPending: cfg.Limits.Pending, Observe: metrics.observe,
	}, d.state.store, wallClock{}, log)
	if err != nil {
		return nil, err
	}
	metrics.gauges(d.signer)
	if d.listener, err = listen(cfg); err != nil {
		return nil, err
	}
	d.api = api.New(d.signer, api.Config{
		BodyBytes:         int64(cfg.Limits.BodyBytes),
		RequestsPerSecond: float64(cfg.Limits.RequestsPerSecond),
		Burst:             cfg.Limits.Burst,
		Connections:       cfg.Limits.Connections,
		LogKey:            cfg.Log.VerifierKey,
		Metrics:           metrics.handler(),
		Tokens:            tokens,
	}, log)
	if err := d.signer.Start(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// stop finishes what was begun and stops all parts.
func (d *running) stop(log *zap.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := d.signer.Close(ctx); err != nil {
		log.Warn("stopping", zap.Error(err))
	}
	d.signer = nil
	ctx, cancel = context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := d.api.Shutdown(ctx); err != nil {
		log.Warn("stopping: some connections were cut", zap.Error(err))
	}
	err := d.close()
	log.Info("stopped")
	return err
}

// close closes what is open, in the reverse order of start.
func (d *running) close() error {
	var errs []error
	if d.signer != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is being signed yet
		errs = append(errs, d.signer.Close(ctx))
	}
	if d.listener != nil {
		if err := d.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.state != nil {
		errs = append(errs, d.state.close())
	}
	if d.keys != nil {
		errs = append(errs, d.keys.Close())
	}
	return errors.Join(errs...)
}

// reload puts the policy file in force, or says why not and keeps the old one.
func (d *running) reload(ctx context.Context, path string, log *zap.Logger) {
	notifyReloading(log)
	defer notify(log, daemon.SdNotifyReady)
	cfg, warnings, err := config.Load(path, config.Options{CheckURI: backends.CheckURI})
	if err != nil {
		log.Error("reload: the policy in force stays", zap.Error(err))
		return
	}
	for _, w := range warnings {
		log.Warn("configuration", zap.String("warning", w.String()))
	}
	if err := d.signer.SetPolicy(ctx, cfg.Policy); err != nil {
		log.Error("reload: the policy in force stays", zap.Error(err))
		return
	}
	log.Info("reload: the policy is in force", zap.String("policy", cfg.Policy.Hash()), zap.Int("rules", cfg.PolicyRules))
}

// openKeys turns the configured keys into what the core uses.
func openKeys(set *backends.Set, cfg *config.Config) ([]signer.KeyConfig, error) {
	var out []signer.KeyConfig
	for _, k := range cfg.Keys {
		var replicas []signer.Replica
		for _, uri := range k.URIs() {
			key, err := set.Open(backends.Spec{Name: k.Name, URI: uri, MaxSessions: k.MaxSessions, Timeout: k.Timeout})
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", k.Name, err)
			}
			replicas = append(replicas, signer.Replica{URI: backends.RedactURI(uri), Key: key})
		}
		out = append(out, signer.KeyConfig{
			Name: k.Name, Apps: k.Apps, OnlyOnRequest: k.OnlyOnRequest, Pin: k.PublicKey, Demand: k.Custody,
			Replicas: replicas, Concurrency: k.MaxSessions, Queue: cfg.Limits.Queue,
		})
	}
	return out, nil
}

// listen takes the socket that systemd passed, or makes the configured one.
func listen(cfg *config.Config) (net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("taking the socket from systemd: %w", err)
	}
	switch {
	case len(passed) == 0:
		return api.Listen(cfg.Socket.Path, cfg.Socket.Mode, cfg.Socket.Group)
	case len(passed) > 1:
		return nil, fmt.Errorf("systemd passed %d sockets, want one ListenStream", len(passed))
	case passed[0] == nil || passed[0].Addr().Network() != "unix":
		return nil, errors.New("systemd passed a socket that is not a Unix stream socket: the API is never served over a network")
	}
	if l, ok := passed[0].(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // it is systemd's
	}
	return passed[0], nil
}

// notify tells systemd, if it is there.
func notify(log *zap.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("telling systemd", zap.String("state", state), zap.Error(err))
	}
}

// notifyReloading is notify for Type=notify-reload, which wants the time of it.
func notifyReloading(log *zap.Logger) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		log.Warn("telling systemd", zap.Error(err))
		return
	}
	notify(log, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000))
}

// ignoreSync drops the error of syncing a terminal or pipe, which have no sync.
func ignoreSync(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}
