package redis

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// server is a connected Redis with the functions of a volume.
type server struct {
	at     atomic.Pointer[peer]
	opts   Options
	volume string
	key    string // {volume}:v, the key that every function is called with
	meters meters
}

// peer is where a server is: an engine can move to another one, see MoveTo.
type peer struct {
	client goredis.UniversalClient
	addr   Address
}

func (s *server) client() goredis.UniversalClient { return s.at.Load().client }

func (s *server) addr() Address { return s.at.Load().addr }

// A call is one function with its arguments. Those of a change begin with its head.
type call struct {
	function string
	readOnly bool
	args     []any
	head     *head // of a change; else nil
	whole    bool  // runs to its end as a change does
}

// Waits between sends of one call.
const (
	firstBackoff = 5 * time.Millisecond
	maxBackoff   = time.Second
)

// invoke sends a call until it is answered, by a result or an error of the server's. A
// connection that breaks, a server that is starting or changing its role, and functions
// that are missing are all reasons to send it again: a question may be asked twice, and a
// change is recognized by its session, slot and number.
//
// A change that may have been sent runs to its end whatever becomes of ctx: the
// caller must learn what happened. ctx ends what was surely not sent.
func (s *server) invoke(ctx context.Context, c *call) (any, error) {
	start := time.Now()
	command := s.command(c)
	var reply any
	send := func(sendCtx context.Context, attempt int) (err error) {
		if c.head != nil {
			c.head.setSends(attempt)
		}
		reply, err = s.client().Do(sendCtx, command...).Result()
		return err
	}
	err := s.repeat(ctx, c.function, c.head != nil || c.whole, send)
	s.meters.observe(c.function, start, err)
	return reply, err
}

// ask runs commands that are not functions and change nothing that matters twice.
func (s *server) ask(ctx context.Context, name string, send func(ctx context.Context) error) error {
	return s.repeat(ctx, name, false, func(ctx context.Context, _ int) error { return send(ctx) })
}

// repeat sends until there is an answer.
func (s *server) repeat(ctx context.Context, name string, change bool, send func(ctx context.Context, attempt int) error) error {
	whole := ctx
	if change {
		whole = context.WithoutCancel(ctx)
	}
	sendCtx, cancel := context.WithTimeout(whole, s.opts.ChangeTimeout)
	defer cancel()
	sent := false
	backoff := firstBackoff
	for attempt := 0; ; attempt++ {
		s.meters.send()
		err := send(sendCtx, attempt)
		if err == nil {
			return nil
		}
		var refused goredis.Error
		switch answered := errors.As(err, &refused); {
		case answered && isMissing(err):
			if err := s.loadLibrary(sendCtx, s.key); err != nil && !isPassing(err) {
				return err
			}
			continue
		case answered && !isPassing(err):
			return err
		case !answered && mayBeSent(err):
			if sent = true; attempt == 0 {
				continue // most often a connection that broke while it was idle
			}
		}
		s.opts.Logger.DebugContext(ctx, "metadata call is sent again", logString("call", name), logInt("attempt", attempt+1), logError(err))
		if err := pause(ctx, sendCtx, sent && change, backoff, err); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits before a call is sent again. It returns why that is not to be.
func pause(ctx, sendCtx context.Context, committed bool, backoff time.Duration, cause error) error {
	done := ctx.Done()
	if committed {
		done = nil
	}
	timer := time.NewTimer(backoff)
	defer timer.Stop()
	select {
	case <-done:
		return errors.Join(ctx.Err(), cause)
	case <-sendCtx.Done():
		return &unreachableError{cause: cause}
	case <-timer.C:
		return nil
	}
}

// unreachableError says that no answer came within Options.ChangeTimeout.
type unreachableError struct{ cause error }

func (e *unreachableError) Error() string { return e.cause.Error() }
func (e *unreachableError) Unwrap() error { return e.cause }

func (s *server) command(c *call) []any {
	name := "fcall"
	if c.readOnly {
		name = "fcall_ro"
	}
	command := make([]any, 0, 9+len(c.args))
	command = append(command, name, functionPrefix+c.function, 1, s.key)
	if h := c.head; h != nil {
		command = append(command, h.start, h.session, h.reply, h.givenUp, h.time)
	}
	return append(command, c.args...)
}

// mayBeSent reports whether a request may have reached the server although it failed.
func mayBeSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	var dns *net.DNSError
	return !errors.As(err, &dns) && !errors.Is(err, goredis.ErrPoolTimeout) && !errors.Is(err, goredis.ErrPoolExhausted)
}

// isPassing reports whether the server refused a call for a reason that passes: it is
// loading its file, or another server is about to take its place. Nothing was done.
func isPassing(err error) bool {
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "EXECABORT"} {
		if goredis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
