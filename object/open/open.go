package open

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/object"
	"mirrorfs/object/file"
	"mirrorfs/object/mem"
)

const forms = "file:///dir, s3://bucket/prefix?endpoint=http://host:port&region=r&path_style=true, " +
	"oss://bucket/prefix?region=r, cos://bucket-appid/prefix?region=r, or mem://name"

// Options of opening. The zero value is for production: retries with their
// defaults, 64 requests at once, no metrics, and no mem:// addresses.
type Options struct {
	// Memory holds the buckets of mem:// addresses, which exist only for those who
	// share it. Nil refuses such addresses.
	Memory *mem.Space
	// Connections is how many requests may run at once, each with a connection of
	// its own; 0 means 64.
	Connections int
	// Retry is how requests are repeated.
	Retry object.RetryOptions
	// Metrics of every attempt, with the label store=Name; nil means none. Name is
	// "bucket" if empty.
	Metrics prometheus.Registerer
	Name    string
}

const defaultConnections = 64

// Store opens the store at addr behind WithMetrics, WithRetry and WithGate, and WithHedge if
// it is reached over a network. It
// connects to nothing yet, but may read credentials from files. A wrong address
// gives object.ErrInvalid.
func Store(ctx context.Context, addr string, opts Options) (object.Store, error) {
	if opts.Connections <= 0 {
		opts.Connections = defaultConnections
	}
	if opts.Name == "" {
		opts.Name = "bucket"
	}
	s, err := Bare(ctx, addr, opts)
	if err != nil {
		return nil, err
	}
	s, err = object.WithMetrics(s, opts.Name, opts.Metrics)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(addr, "file:") && !strings.HasPrefix(addr, "mem:") {
		s, err = object.WithHedge(s, object.HedgeOptions{Metrics: opts.Metrics, Name: opts.Name})
		if err != nil {
			return nil, err
		}
	}
	gate := object.NewGate(opts.Connections)
	opts.Retry.Throttled = gate.Throttled
	// The gate is outermost: waiting for a turn must not use up an attempt's time.
	return object.WithGate(object.WithRetry(s, opts.Retry), gate), nil
}

// Bare opens the store at addr without wrappers. Of opts it uses Memory and
// Connections.
func Bare(ctx context.Context, addr string, opts Options) (object.Store, error) {
	s, err := bare(ctx, addr, opts)
	if err != nil {
		return nil, fmt.Errorf("bucket address %q: %w", redact(addr), err)
	}
	return s, nil
}

func bare(ctx context.Context, addr string, opts Options) (object.Store, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return nil, object.Invalidf("not a URL, want %s", forms)
	}
	if u.User != nil {
		return nil, object.Invalidf("it must hold no credentials, for it is stored and logged; set AWS_ACCESS_KEY_ID and " +
			"AWS_SECRET_ACCESS_KEY or AWS_PROFILE for s3, OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET for oss, " +
			"COS_SECRETID and COS_SECRETKEY for cos instead")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return nil, object.Invalidf("want %s", forms)
	}
	switch u.Scheme {
	case "file":
		return openFile(u)
	case "mem":
		return openMem(u, opts.Memory)
	case "s3":
		return openS3(ctx, u, opts)
	case "oss":
		return openOSS(u, opts)
	case "cos":
		return openCOS(u, opts)
	case "":
		return nil, object.Invalidf("no scheme, want %s", forms)
	}
	return nil, object.Invalidf("unknown scheme %q, want %s", u.Scheme, forms)
}

func openFile(u *url.URL) (object.Store, error) {
	if u.Host != "" {
		return nil, object.Invalidf("%q would be a host; want three slashes, file:///dir", u.Host)
	}
	if u.RawQuery != "" {
		return nil, object.Invalidf("file takes no settings")
	}
	return file.New(u.Path)
}

func openMem(u *url.URL, space *mem.Space) (object.Store, error) {
	if u.Host == "" || u.Path != "" || u.RawQuery != "" {
		return nil, object.Invalidf("want mem://name")
	}
	if space == nil {
		return nil, object.Invalidf("mem:// exists only inside one process, and this one shares none")
	}
	return space.Store(u.Host), nil
}

// redact cuts what may be a secret out of an address for an error message: all
// before an '@', and the settings, of which the cause names the wrong one.
func redact(addr string) string {
	addr, _, _ = strings.Cut(addr, "?")
	scheme, rest, ok := strings.Cut(addr, "://")
	if !ok {
		return addr
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "***" + rest[i:]
	}
	return scheme + "://" + rest
}
