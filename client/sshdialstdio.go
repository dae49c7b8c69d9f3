package client

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// stdioDrain is how long the daemon may take to answer a caller that has said all
// it had to say. A signature may take as long as [attemptTimeout].
const stdioDrain = 2 * time.Minute

// DialStdio is the far side of a connection through ssh: it connects in and out
// with the daemon at socketPath, a Unix socket on this machine, until either side
// ends it. At the end of in it closes its half of the socket and goes on with what
// the daemon still has to say. Nothing but the daemon's bytes goes to out.
//
// If there is no daemon it writes one line to report, for the near side, and
// returns an [*UnreachableError]. A read from in may still be under way when it
// returns.
func DialStdio(ctx context.Context, socketPath string, in io.Reader, out, report io.Writer) error {
	conn, err := dialUnix(ctx, socketPath)
	if err != nil {
		var gone *UnreachableError
		if errors.As(err, &gone) {
			err = errors.Join(err, gone.report(report))
		}
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	go func() {
		_, err := io.Copy(conn, in)
		// If the daemon does not take it any more, what it has said still arrives.
		_ = conn.SetReadDeadline(time.Now().Add(stdioDrain))
		if half, ok := conn.(*net.UnixConn); ok && err == nil {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(out, conn); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		gone := &UnreachableError{Socket: socketPath, Reason: Lost, Detail: err.Error(), Err: err}
		return errors.Join(gone, gone.report(report))
	}
	return nil
}
