package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ServerOptions say where a relay stands. Listener and Dial are needed.
type ServerOptions struct {
	// Listener takes the connections of clients. Serve closes it.
	Listener net.Listener
	// Dial makes a connection to the server that the relay leads to.
	Dial func(ctx context.Context) (net.Conn, error)
	// Connections is how many are passed at a time; default 256. More are refused.
	Connections int
	Logger      *slog.Logger
}

// pieceBytes is the most that is read, and compressed, at once.
const pieceBytes = 128 << 10

// server is a relay.
type server struct {
	opts ServerOptions
	free chan struct{} // a place for each connection
}

// Serve passes connections until ctx ends, and then returns nil. It returns when all of them
// have ended.
func Serve(ctx context.Context, opts ServerOptions) error {
	if opts.Listener == nil || opts.Dial == nil {
		return errors.New("relay: Listener and Dial are needed")
	}
	if opts.Connections <= 0 {
		opts.Connections = 256
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{opts: opts, free: make(chan struct{}, opts.Connections)}
	ctx, cancel := context.WithCancel(ctx)
	var passing sync.WaitGroup
	defer passing.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = opts.Listener.Close() })
	defer stop()
	for {
		c, err := opts.Listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // of that connection, or there are too many files: try the next one
			opts.Logger.WarnContext(ctx, "a connection was not taken", slog.Any("error", err))
			pause(ctx)
			continue
		}
		passing.Go(func() { s.serve(ctx, c) })
	}
}

// acceptPause is how long a relay waits after it could not take a connection.
const acceptPause = 50 * time.Millisecond

func pause(ctx context.Context) {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serve passes one connection to its end.
func (s *server) serve(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	target, err := s.meet(ctx, c)
	if err != nil {
		if ctx.Err() == nil {
			s.opts.Logger.WarnContext(ctx, "a connection was not passed on", slog.String("from", c.RemoteAddr().String()), slog.Any("error", err))
		}
		return
	}
	defer func() { <-s.free }()
	defer func() { _ = target.Close() }()
	stopTarget := context.AfterFunc(ctx, func() { _ = target.Close() })
	defer stopTarget()
	client, err := compressed(c)
	if err != nil {
		s.opts.Logger.ErrorContext(ctx, "a connection was not passed on", slog.Any("error", err))
		return
	}
	var both sync.WaitGroup
	for _, way := range []struct{ to, from net.Conn }{{target, client}, {client, target}} {
		both.Go(func() {
			passOn(way.to, way.from)
			_, _ = c.Close(), target.Close() // half a connection is none
		})
	}
	both.Wait()
	_ = client.Close()
}

// meet hears a client out and opens the server for it.
func (s *server) meet(ctx context.Context, c net.Conn) (net.Conn, error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	greeting := make([]byte, len(hello))
	if _, err := io.ReadFull(c, greeting); err != nil {
		return nil, err
	}
	if string(greeting) != hello {
		return nil, errors.New("it is no client of a relay, or one of another version")
	}
	target, err := s.reach(ctx)
	answer := append([]byte(magic), version, 0)
	if err != nil {
		why := err.Error()
		why = why[:min(len(why), 255)]
		answer[len(answer)-1] = byte(len(why))
		_, _ = c.Write(append(answer, why...))
		return nil, err
	}
	if _, err = c.Write(answer); err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		<-s.free
		return nil, errors.Join(err, target.Close())
	}
	return target, nil
}

// reach takes a place and opens the server.
func (s *server) reach(ctx context.Context) (net.Conn, error) {
	select {
	case s.free <- struct{}{}:
	default:
		return nil, errors.New("the relay has as many connections as it may")
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	target, err := s.opts.Dial(ctx)
	if err != nil {
		<-s.free
		return nil, err
	}
	return target, nil
}

// passOn carries bytes until either side ends.
func passOn(to io.Writer, from io.Reader) {
	buf := make([]byte, pieceBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
