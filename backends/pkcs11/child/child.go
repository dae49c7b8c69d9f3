// Package child is the process that holds a vendor's PKCS#11 module.
//
// bundlesignd starts itself once more for each token and gives the new process
// one end of a socket pair as file descriptor 3. The module is loaded here and
// nowhere else, so that a module that crashes, hangs or corrupts memory takes
// this process with it and not the daemon.
//
// Invariants. What reaches a key is what package capgo derives from a
// [capgo.Payload] or, for the log's key, a text that package audit reads as that
// of a checkpoint; there is no message by which the daemon, let alone anybody
// else, could have other bytes signed. A private key that is imported is here in
// encrypted form only. A session is used by one goroutine at a
// time, and the module is finalized only when no call is in it: modules crash
// otherwise. The process ends when the daemon does: at the end of the stream,
// or by the kernel's signal.
//
// It assumes that its parent is the bundlesignd that started it.
package child

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// socketFD is where the parent left this process's end of the socket pair: the
// first descriptor after the standard ones.
const socketFD = 3

// queued is how many questions may wait for a worker. The parent keeps far below
// it; one that does not has to wait until it is read again.
const queued = 1024

// extraWorkers work on questions beside those that are busy signing.
const extraWorkers = 2

// Run serves the parent until it closes the connection, and returns the exit code
// of the process. It is the whole of the hidden subcommand.
func Run() int {
	if err := harden(); err != nil {
		fmt.Fprintln(os.Stderr, "hardening the module's process:", err)
		return 1
	}
	f := os.NewFile(socketFD, "parent")
	conn, err := net.FileConn(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "this command is started by bundlesignd itself, with a socket as descriptor 3; it is of no use by hand")
		return 2
	}
	f.Close()
	defer conn.Close()
	if err := serve(conn); err != nil {
		fmt.Fprintln(os.Stderr, "serving the daemon:", err)
		return 1
	}
	return 0
}

// server answers one parent.
type server struct {
	out   *proto.Writer
	token *token // nil until opened

	workshop workshop
}

func serve(conn io.ReadWriter) error {
	s := &server{out: proto.NewWriter(conn)}
	in := proto.NewReader(conn)
	err := s.untilOpen(in)
	if err == nil {
		err = s.untilEnd(in)
		s.token.close()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// untilOpen answers one question after the other until the module is open:
// everything else needs that.
func (s *server) untilOpen(in *proto.Reader) error {
	for s.token == nil {
		f, err := in.Next()
		if err != nil {
			return err
		}
		if err := s.answer(f, s.open); err != nil {
			return err
		}
	}
	return nil
}

// untilEnd answers questions side by side until nothing more comes, and returns why
// when the last one is answered. The workers live as long: a goroutine for each
// question would grow a new stack for each.
func (s *server) untilEnd(in *proto.Reader) error {
	questions := make(chan proto.Frame, queued)
	var workers sync.WaitGroup
	for range s.token.sessions + extraWorkers {
		workers.Go(func() {
			for f := range questions {
				// A failed write shows as an error of the next read.
				_ = s.answer(f, s.handle)
			}
		})
	}
	defer workers.Wait()
	defer close(questions)
	for {
		f, err := in.Next()
		if err != nil {
			return err
		}
		questions <- f
	}
}

// answer works on a question and sends what came of it.
func (s *server) answer(f proto.Frame, work func(proto.Frame) ([]byte, error)) error {
	body, err := work(f)
	clear(f.Body) // it may have held a PIN
	if err == nil {
		return s.out.Write(proto.Frame{ID: f.ID, Op: proto.OpResult, Body: body})
	}
	var fault *proto.Fault
	if !errors.As(err, &fault) {
		fault = &proto.Fault{Kind: proto.KindProtocol, Detail: err.Error()}
	}
	if body, err = proto.Encode(fault); err != nil {
		return err
	}
	return s.out.Write(proto.Frame{ID: f.ID, Op: proto.OpFault, Body: body})
}

func (s *server) open(f proto.Frame) ([]byte, error) {
	if f.Op == proto.OpPing {
		return nil, nil
	}
	if f.Op != proto.OpOpen {
		return nil, errors.New("the module is not open")
	}
	var q proto.Open
	if err := proto.Decode(f.Body, &q); err != nil {
		return nil, err
	}
	t, err := openToken(&q)
	if err != nil {
		return nil, err
	}
	s.token = t
	return proto.Encode(t.opened())
}

func (s *server) handle(f proto.Frame) ([]byte, error) {
	switch f.Op {
	case proto.OpPing:
		return nil, nil
	case proto.OpOpen:
		return nil, errors.New("the module is open already")
	case proto.OpLogin:
		var q proto.Login
		if err := proto.Decode(f.Body, &q); err != nil {
			return nil, err
		}
		defer clear(q.PIN)
		done, err := s.token.login(&q)
		if err != nil {
			return nil, err
		}
		return proto.Encode(done)
	case proto.OpLoginState:
		state, err := s.token.loginState()
		if err != nil {
			return nil, err
		}
		return proto.Encode(state)
	case proto.OpConfirm:
		var q proto.Confirm
		if err := proto.Decode(f.Body, &q); err != nil {
			return nil, err
		}
		defer clear(q.PIN)
		return nil, s.token.confirmer.hold(q.PIN)
	case proto.OpInspect:
		var q proto.Inspect
		if err := proto.Decode(f.Body, &q); err != nil {
			return nil, err
		}
		found, err := s.token.inspect(proto.Selector{Label: string(q.Label), ID: string(q.ID)})
		if err != nil {
			return nil, err
		}
		return proto.Encode(found)
	case proto.OpSign:
		q, err := proto.DecodeSign(f.Body)
		if err != nil {
			return nil, err
		}
		return s.token.sign(q)
	case proto.OpSurvey, proto.OpGenerate, proto.OpWrapping, proto.OpUnwrapKEK, proto.OpUnwrapKey, proto.OpSettle:
		return s.workshop.handle(s.token, f)
	case proto.OpCheckpoint, proto.OpLogKey:
		return s.token.handleLog(f)
	}
	return nil, fmt.Errorf("unknown operation %d", f.Op)
}
