package gcpkms

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/api/option"
)

const defaultTimeout = 10 * time.Second

// service is the way to Cloud KMS that one key, log key or maker has to itself.
type service struct {
	timeout time.Duration // for one operation with its retries
	delay   time.Duration // before the second attempt; each further one is twice the last
	logger  *zap.Logger
	explain func(error) *fault
	clients *clients
	quota   *pause
}

func newService(a Access, timeout time.Duration, logger *zap.Logger, extra []option.ClientOption, explain func(error) *fault) *service {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	if logger == nil {
		logger = zap.NewNop()
	}
	return &service{
		timeout: timeout,
		delay:   firstDelay,
		logger:  logger,
		explain: explain,
		clients: &clients{dial: func(ctx context.Context) (*client, error) { return dial(ctx, a, extra) }},
		quota:   &pause{},
	}
}
