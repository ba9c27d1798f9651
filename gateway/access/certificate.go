package access

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Certificate is a certificate and its private key in files, which are read again when they
// change: certificates are renewed while servers run.
type Certificate struct {
	certFile, keyFile string
	interval          time.Duration
	log               *slog.Logger
	seen              [2]stamp // used by Run alone after NewCertificate
	current           atomic.Pointer[tls.Certificate]
}

// CertificateOptions say where a certificate is.
type CertificateOptions struct {
	// CertFile and KeyFile are PEM.
	CertFile, KeyFile string
	// Interval is how often they are looked at; default 2 s.
	Interval time.Duration
	Logger   *slog.Logger
}

// NewCertificate reads the files.
func NewCertificate(o CertificateOptions) (*Certificate, error) {
	c := &Certificate{certFile: o.CertFile, keyFile: o.KeyFile, interval: o.Interval, log: o.Logger}
	if c.interval <= 0 {
		c.interval = 2 * time.Second
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is for a server, which presents the certificate that was read last.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// Run reads the files again when they have changed, until ctx ends. While they are wrong, or
// do not belong together, what was read last is presented.
func (c *Certificate) Run(ctx context.Context) error {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if c.same() {
			continue
		}
		// Not remembered when it fails: the two files are not replaced at one moment.
		if err := c.load(); err == nil {
			told = ""
			c.log.InfoContext(ctx, "certificate read again", slog.String("file", c.certFile))
		} else if err.Error() != told {
			told = err.Error()
			c.log.ErrorContext(ctx, "certificate not read again: the one read before is presented", slog.Any("error", err))
		}
	}
}

// same tells whether the files are as they were.
func (c *Certificate) same() bool {
	for i, name := range []string{c.certFile, c.keyFile} {
		if now, err := stampOf(name); err != nil || !now.same(c.seen[i]) {
			return false
		}
	}
	return true
}

func (c *Certificate) load() error {
	var seen [2]stamp
	for i, name := range []string{c.certFile, c.keyFile} {
		var err error
		if seen[i], err = stampOf(name); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.seen = seen
	c.current.Store(&pair)
	return nil
}
