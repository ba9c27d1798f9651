package s3front

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"mirrorfs/gateway"
)

// Keys knows who may sign requests.
type Keys interface {
	// Secret gives the secret of an access key, false when there is no such key. It is asked at every
	// request, concurrently, and answers at once.
	Secret(accessKey string) (string, bool)
}

// Options says what a Server serves. API and Keys are required; the zero value of everything else works.
type Options struct {
	API  gateway.API
	Keys Keys
	// Anonymous passes requests without a signature on, as nobody's, as far as they read.
	Anonymous bool
	// Region is what clients must sign for, beside us-east-1 where S3 allows it; default us-east-1.
	Region string
	// Domain, if not empty, has bucket.Domain address a bucket, too.
	Domain string
	// MaxConnections and MaxRequests bound how many there are at a time; default 65536 and 4096. What
	// is beyond gets SlowDown, or is closed.
	MaxConnections, MaxRequests int
	// Gate, if not nil, is asked before each request, and counts it until its answer was sent.
	Gate Gate
	// Served, if not nil, is told of each request once its answer was sent: concurrently, and before
	// the next request of the connection is read.
	Served func(*gateway.Served)
	// Ready, if not nil, says why ReadyPath should answer that requests are not welcome. What it
	// answers is shown to everybody.
	Ready  func(ctx context.Context) error
	Logger *slog.Logger
}

// Server is an S3 server.
type Server struct {
	opts     Options
	app      *fiber.App
	draining atomic.Bool
	// base is the context of all requests. It ends when those that went on too long after Shutdown
	// are cut off. The library's own would end at the beginning of a Shutdown.
	base context.Context //nolint:containedctx // of the server's life, which no call spans
	cut  context.CancelFunc
}

// New makes a Server. It starts nothing.
func New(opts Options) (*Server, error) {
	if opts.API == nil || opts.Keys == nil {
		return nil, errors.New("s3front: no API or no keys given")
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.MaxConnections <= 0 {
		opts.MaxConnections = 64 << 10
	}
	if opts.MaxRequests <= 0 {
		opts.MaxRequests = 4096
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	// The library wants an account that may do everything. Nobody knows this one's secret.
	root := middlewares.RootUserConfig{Access: rand.Text(), Secret: rand.Text() + rand.Text()}
	s := &Server{opts: opts}
	s.base, s.cut = context.WithCancel(context.Background())
	healthy := func(ctx fiber.Ctx) error { return ctx.SendString("healthy\n") }
	options := []s3api.Option{
		s3api.WithRoute(fiber.MethodGet, HealthPath, healthy), s3api.WithRoute(fiber.MethodGet, ReadyPath, s.ready),
		s3api.WithMiddleware("/", s.watch),
		s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithDisableACL(),
		s3api.WithConcurrencyLimiter(opts.MaxConnections, opts.MaxRequests),
	}
	if opts.Domain != "" {
		options = append(options, s3api.WithHostStyle(opts.Domain))
	}
	lib, err := s3api.New(&backend{base: s.base, api: opts.API, anonymous: opts.Anonymous, log: opts.Logger}, root, opts.Region,
		accounts{opts.Keys}, nil, nil, nil, actions{}, options...)
	if err != nil {
		return nil, fmt.Errorf("s3front: %w", err)
	}
	if s.app, err = appOf(lib); err != nil {
		return nil, err
	}
	return s, nil
}

// appOf gives the application inside the library's server. The library itself would serve it on addresses
// only, with certificates that are read once, and hides it: docs/decisions/0170-the-s3-protocol-is-a-library.md.
func appOf(lib *s3api.S3ApiServer) (*fiber.App, error) {
	f := reflect.ValueOf(lib).Elem().FieldByName("app")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*fiber.App]() {
		return nil, errors.New("s3front: this version of the library has no application")
	}
	return *(**fiber.App)(unsafe.Pointer(f.UnsafeAddr())), nil
}

// Serve answers what comes over a listener until Shutdown, and closes it. TLS is the listener's.
func (s *Server) Serve(ln net.Listener) error {
	return s.app.Listener(ln, fiber.ListenConfig{DisableStartupMessage: true})
}

// Shutdown closes the listener, waits for the requests that go on until ctx ends, and then cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cut()
	s.draining.Store(true)
	return s.app.ShutdownWithContext(ctx)
}
