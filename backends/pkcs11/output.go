package pkcs11

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// maxLine is how much of a line of a module's output is logged.
	maxLine = 1024
	// A module may write this many lines a second, and at first so many at once.
	linesPerSecond = 20
	linesAtOnce    = 200
)

// logOutput logs what a module writes to its standard output and error, line by
// line, until the end of r. Vendors' debug output can be a flood and can hold
// anything, so it is cut, limited and has the PIN struck out. Of a long line only the
// beginning is logged, up to where no PIN can have been cut in two.
func logOutput(r io.Reader, log *zap.Logger, strike func(string) string) {
	limit := rate.NewLimiter(linesPerSecond, linesAtOnce)
	in := bufio.NewReaderSize(r, maxLine+maxPIN)
	dropped := 0
	for {
		line, err := in.ReadSlice('\n')
		text := strike(string(line))
		if errors.Is(err, bufio.ErrBufferFull) {
			text = text[:max(0, len(text)-maxPIN)]
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		}
		if text = strings.TrimSpace(text); text != "" {
			if limit.Allow() {
				log.Info("pkcs11 module wrote", zap.String("line", text[:min(len(text), maxLine)]), zap.Int("lines_dropped_before", dropped))
				dropped = 0
			} else {
				dropped++
			}
		}
		if err != nil {
			if dropped > 0 {
				log.Info("pkcs11 module wrote more than is logged", zap.Int("lines_dropped", dropped))
			}
			return
		}
	}
}
