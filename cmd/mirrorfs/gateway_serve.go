package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"mirrorfs/gateway"
	"mirrorfs/gateway/access"
	"mirrorfs/gateway/audit"
	"mirrorfs/gateway/limit"
	"mirrorfs/gateway/s3front"
)

// s3Server is a gateway with all that stands around it: keys, limits, metrics, the audit log.
type s3Server struct {
	cl       *client
	opts     *gatewayOptions
	gw       *gateway.Gateway
	keys     *access.Keyring
	cert     *access.Certificate // nil without TLS
	server   *s3front.Server
	gate     *limit.Gate
	listener *limit.Listener // of serve
	log      *audit.Log      // nil without
	logFile  io.Closer
	metrics  *audit.Metrics
}

func newS3Server(cl *client, gw *gateway.Gateway, keys *access.Keyring, cert *access.Certificate, opts *gatewayOptions) (*s3Server, error) {
	s := &s3Server{cl: cl, opts: opts, gw: gw, keys: keys, cert: cert, gate: limit.NewGate(opts.maxRequests)}
	if err := s.openAudit(); err != nil {
		return nil, err
	}
	gauges := audit.Gauges{
		InFlight: func() float64 { return float64(s.gate.Inside()) },
		Refused:  func() float64 { return float64(s.gate.Refused()) },
	}
	if s.log != nil {
		gauges.AuditFailures = func() float64 { return float64(s.log.Failures()) }
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	gauges.Connections = func() float64 { return float64(s.listener.Connections()) }
	var err error
	if s.metrics, err = audit.NewMetrics(cl.reg, gauges); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.server, err = s3front.New(s3front.Options{
		API: access.NewGuard(gw, keys), Keys: keys, Anonymous: true, // the guard decides
		Region: opts.region, Domain: opts.domain, MaxConnections: opts.maxConnections,
		Gate: s.gate, Served: s.served, Ready: s.ready, Logger: cl.c.log,
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *s3Server) close() (err error) {
	if s.listener != nil {
		if err = s.listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	if s.logFile != nil {
		err = errors.Join(err, s.logFile.Close())
	}
	return err
}

// openAudit opens the audit log, if there is to be one.
func (s *s3Server) openAudit() error {
	switch s.opts.audit {
	case "":
	case "-":
		s.log = audit.NewLog(s.cl.c.stderr, s.cl.c.log)
	default:
		f, err := os.OpenFile(s.opts.audit, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return hintf(fmt.Errorf("audit log: %w", err), "name a file that can be written: --audit FILE")
		}
		s.log, s.logFile = audit.NewLog(f, s.cl.c.log), f
	}
	return nil
}

func (s *s3Server) listen() error {
	l, err := net.Listen("tcp", s.opts.address)
	if err != nil {
		return hintf(fmt.Errorf("serve: %w", err), "another address: --address :0 takes a free port")
	}
	s.listener = limit.Listen(l, limit.Options{
		BytesPerSecond: int64(s.opts.bandwidth), ConnBytesPerSecond: int64(s.opts.connectionBandwidth),
		Connections: s.opts.maxConnections, Patience: s.opts.clientTimeout,
	})
	return nil
}

// served is told of each request.
func (s *s3Server) served(r *gateway.Served) {
	s.metrics.Served(r)
	if s.log != nil {
		s.log.Served(r)
	}
}

// readyTimeout is how long metadata may take to answer a load balancer.
const readyTimeout = 2 * time.Second

// ready tells whether there is any use in sending requests here.
func (s *s3Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if _, err := s.cl.v.near.State(ctx); err != nil {
		return errors.New("metadata does not answer")
	}
	return nil
}

// serve answers requests until ctx ends and those under way are answered.
func (s *s3Server) serve(ctx context.Context) error {
	c := s.cl.c
	beside, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	run := func(f func(context.Context) error) { all.Go(func() { c.warn(ctx, f(beside)) }) }
	run(s.keys.Run)
	if !s.opts.readOnly {
		run(s.gw.Run)
	}
	l, scheme := net.Listener(s.listener), "http"
	if s.cert != nil {
		run(s.cert.Run)
		l, scheme = tls.NewListener(l, s.cert.Config()), "https"
	}
	r := &gatewayResult{
		URL: scheme + "://" + s.listener.Addr().String(), Volume: s.cl.v.Settings.Name, Site: s.cl.v.Site.Name,
		Mirror: s.cl.v.Mirror, Buckets: s.opts.buckets,
	}
	if err := c.print(r, r.write); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return s.drain(context.WithoutCancel(ctx), ended)
}

// drain lets requests under way end.
func (s *s3Server) drain(ctx context.Context, ended <-chan error) error {
	log := s.cl.c.log
	log.InfoContext(ctx, "draining", slog.Int("requests", s.gate.Inside()))
	ctx, cancel := context.WithTimeout(ctx, s.opts.grace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		log.WarnContext(ctx, "requests were cut off at the end", slog.Int("requests", s.gate.Inside()))
		return nil
	}
	return <-ended
}
