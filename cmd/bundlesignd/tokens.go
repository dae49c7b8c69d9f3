package main

import (
	"go.uber.org/zap"

	"github.com/bundlesign/bundlesign/api/idtoken"
	"github.com/bundlesign/bundlesign/config"
)

// newTokens makes what checks the ID tokens of CI jobs. With no issuers, it refuses
// all of them.
func newTokens(cfg *config.Config, log *zap.Logger) (*idtoken.Verifier, error) {
	var issuers []idtoken.Issuer
	for _, is := range cfg.TokenIssuers {
		issuers = append(issuers, idtoken.Issuer{
			Name: is.Name, URL: is.Issuer, Audience: is.Audience, Algorithms: is.Algorithms,
			JWKSFile: is.JWKSPath, CA: is.CA,
		})
	}
	return idtoken.New(idtoken.Config{
		Issuers: issuers, Now: wallClock{}.Now, ReadFile: config.ReadTrusted, Log: log,
	})
}
