package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/relay"
)

// mirrorRelayOptions are the flags of mirror relay.
type mirrorRelayOptions struct{ listen, cert, key string }

func newMirrorRelayCommand(c *cli) *cobra.Command {
	var opts mirrorRelayOptions
	cmd := &cobra.Command{
		Use:   "relay SOURCE_META --listen ADDR",
		Short: "Compress what runners of mirrors read from a source, in the foreground",
		Long: `relay stands at the source's site, beside its Redis at SOURCE_META, and passes the
connections of runners on to it: what crosses the link between the sites is then a
stream of zstd, about a quarter of what Redis sends. It keeps nothing and knows no password; who passes
it still logs in at Redis. Several may run; when none answers, runners go to the source
directly, if they can reach it.

Give runners its address with mirror add --relay or mirror set --relay. Between sites use
TLS, with a certificate for the relay (--tls-cert, --tls-key) and tls://host:port as its
address, unless the network is private. To the Redis the relay goes by SOURCE_META, which is a single
server: redis://, rediss://, unix:// or local:.`,
		Example: `  mirrorfs mirror relay redis://redis.a.example/0 --listen :6390 --tls-cert relay.pem --tls-key relay.key
  mirrorfs mirror set redis://redis.b.example/0 --relay tls://relay.a.example:6390`,
		Args: exactArgs("SOURCE_META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.listen == "" {
				return usagef("%s: --listen ADDR is missing", cmd.CommandPath())
			}
			if (opts.cert == "") != (opts.key == "") {
				return usagef("%s: --tls-cert and --tls-key go together", cmd.CommandPath())
			}
			return c.mirrorRelay(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.listen, "listen", "", "address to listen at, host:port or :port")
	f.StringVar(&opts.cert, "tls-cert", "", "file of the relay's certificate (PEM)")
	f.StringVar(&opts.key, "tls-key", "", "file of its key")
	return cmd
}

func (c *cli) mirrorRelay(ctx context.Context, addr string, opts mirrorRelayOptions) error {
	dial, err := redis.DialerTo(ctx, addr)
	if err != nil {
		return &usageError{err}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", opts.listen)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	at := l.Addr().String()
	if opts.cert != "" {
		pair, err := tls.LoadX509KeyPair(opts.cert, opts.key)
		if err != nil {
			return errors.Join(fmt.Errorf("relay: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	}
	err = c.print(relayResult{at}, func(w io.Writer) { fmt.Fprintf(w, "relay to %s listens at %s\n", redis.Redact(addr), at) })
	if err != nil {
		return errors.Join(err, l.Close())
	}
	err = relay.Serve(ctx, relay.ServerOptions{Listener: l, Dial: dial, Logger: c.log})
	c.log.InfoContext(context.WithoutCancel(ctx), "relay stopped", slog.String("listen", at))
	return err
}

// relayResult is what mirror relay prints once it listens.
type relayResult struct {
	Listen string `json:"listen"`
}

// relayAddress is a parsed address of a relay.
type relayAddress struct {
	host string
	tls  *tls.Config // nil: none
}

// parseRelay reads host:port, or tls://host:port[?ca=FILE].
func parseRelay(s string) (relayAddress, error) {
	var a relayAddress
	rest, secure := strings.CutPrefix(s, "tls://")
	rest, query, _ := strings.Cut(rest, "?")
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || port == "" {
		return a, fmt.Errorf("relay %q: want host:port or tls://host:port[?ca=FILE]", s)
	}
	a.host = rest
	values, err := url.ParseQuery(query)
	if err != nil || !secure && query != "" {
		return a, fmt.Errorf("relay %q: want host:port or tls://host:port[?ca=FILE]", s)
	}
	if !secure {
		return a, nil
	}
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if file := values.Get("ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return a, fmt.Errorf("certificates to trust: %w", err)
		}
		a.tls.RootCAs = x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return a, fmt.Errorf("certificates to trust: %s holds none", file)
		}
	}
	return a, nil
}

// checkRelay says what is wrong with a relay on the way to a source.
func checkRelay(address, source string) error {
	if address == "" || address == noAddress {
		return nil
	}
	a, err := parseRelay(address)
	if err == nil {
		err = redis.CheckSingle(source)
	}
	if err == nil && a.tls == nil && strings.HasPrefix(source, "rediss:") {
		err = fmt.Errorf("relay %s: the source is reached with TLS, so its relay must be too: tls://host:port", address)
	}
	return err
}

// throughRelay gives the options of a connection from a mirror to an address: through the
// relay that the mirror knows, if it leads there.
func throughRelay(ctx context.Context, site *redis.Engine, address string, opts redis.Options) (redis.Options, error) {
	info, err := mirror.Of(ctx, site)
	if err != nil || info.Relay == "" || info.Source != address {
		return opts, err
	}
	a, err := parseRelay(info.Relay)
	if err != nil {
		return opts, err
	}
	opts.Relay = func(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error)) (net.Conn, error) {
		return relay.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
			c, err := dial(ctx, "tcp", a.host)
			if err != nil || a.tls == nil {
				return c, err
			}
			t := tls.Client(c, a.tls)
			if err := t.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(err, c.Close())
			}
			return t, nil
		})
	}
	return opts, nil
}
