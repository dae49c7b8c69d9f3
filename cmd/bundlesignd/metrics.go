package main

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bundlesign/bundlesign/signer"
)

// metrics is what GET /v1/metrics tells. docs/operations.md lists it.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	breakGlass *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bundlesign_requests_total",
			Help: "Requests that came into a state, since the daemon started.",
		}, []string{"state"}),
		breakGlass: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bundlesign_break_glass_total",
			Help: "Emergencies that came into a state, since the daemon started. Alert on any.",
		}, []string{"state"}),
	}
	m.registry.MustRegister(m.requests, m.breakGlass, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// So that an alert sees the first one, too: a counter that begins at 1 did not rise.
	for _, state := range []signer.State{
		signer.Pending, signer.Authorized, signer.Signed, signer.Denied, signer.Rejected, signer.Expired, signer.Cancelled, signer.Failed,
	} {
		m.requests.WithLabelValues(string(state))
		m.breakGlass.WithLabelValues(string(state))
	}
	return m
}

// observe counts a request's move.
func (m *metrics) observe(r *signer.Request) {
	m.requests.WithLabelValues(string(r.State)).Inc()
	if r.Submission.BreakGlass != "" {
		m.breakGlass.WithLabelValues(string(r.State)).Inc()
	}
}

// gauges adds what is read from the core when it is asked for.
func (m *metrics) gauges(s *signer.Signer) {
	gauge := func(name, help string, read func(ctx context.Context) (int, error)) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			n, err := read(ctx)
			if err != nil {
				return -1
			}
			return float64(n)
		}))
	}
	gauge("bundlesign_freezes", "Freezes in force; -1 if that cannot be read.", func(ctx context.Context) (int, error) {
		freezes, err := s.Freezes(ctx)
		return len(freezes), err
	})
	gauge("bundlesign_pending", "Requests that wait for approvals, at most 1000 are counted; -1 if that cannot be read.", func(ctx context.Context) (int, error) {
		pending, err := s.Requests(ctx, signer.Filter{States: []signer.State{signer.Pending}, Limit: 1000})
		return len(pending), err
	})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
