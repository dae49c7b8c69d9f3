package api

import "net/http"

// metrics is GET /v1/metrics: what a Prometheus server reads.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	if s.config.Metrics == nil {
		return &notFoundError{r.URL.Path}
	}
	s.config.Metrics.ServeHTTP(w, r)
	return nil
}
