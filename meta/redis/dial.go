package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"mirrorfs/meta/redis/local"
)

// dial makes a client for an address. A local server is started if it does not run;
// otherwise nothing is sent yet.
func dial(ctx context.Context, a Address, opts *Options, m *meters) (goredis.UniversalClient, error) {
	// go-redis writes lost connections to stderr, for the whole process. We return or log them.
	logging.Disable()
	o := &goredis.UniversalOptions{
		Addrs: a.Hosts, DB: a.DB, Username: a.User, Password: a.Password, MasterName: a.Master,
		SentinelPassword: opts.SentinelPassword, IsClusterMode: a.Cluster,
		// Calls are sent again by call.go, which knows which slot they used.
		MaxRetries: -1,
		// A dial that fails is repeated by call.go too.
		DialerRetries: 1,
		DialTimeout:   opts.CallTimeout, ReadTimeout: opts.CallTimeout, WriteTimeout: opts.CallTimeout,
		PoolTimeout: opts.CallTimeout, ContextTimeoutEnabled: true,
		PoolSize: opts.Connections,
		Protocol: 2, DisableIdentity: true,
	}
	if o.Password == "" {
		o.Password = opts.Password
	}
	switch a.Scheme {
	case "unix":
		o.Addrs = []string{a.Path}
	case "local":
		socket, err := local.Start(ctx, a.Path)
		if err != nil {
			return nil, err
		}
		o.Addrs = []string{socket}
	case "rediss":
		config, err := tlsConfig(&a)
		if err != nil {
			return nil, err
		}
		o.TLSConfig = config
	}
	o.Dialer = opts.dialer(m, o.TLSConfig)
	return newClient(&a, o), nil
}

func newClient(a *Address, o *goredis.UniversalOptions) goredis.UniversalClient {
	switch {
	case a.Cluster:
		c := o.Cluster()
		c.MaxRedirects = 3
		return goredis.NewClusterClient(c)
	case a.Master != "":
		return goredis.NewFailoverClient(o.Failover())
	default:
		s := o.Simple()
		if a.Scheme == "unix" || a.Scheme == "local" {
			s.Network = "unix"
		}
		return goredis.NewClient(s)
	}
}

func tlsConfig(a *Address) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.Insecure} //nolint:gosec // the user asks for it by name
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates to trust: %s holds none", a.CA)
		}
	}
	return config, nil
}
