package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"mirrorfs/meta/redis/local"
)

// errNotSingle: nobody can pass on what is said to several servers.
var errNotSingle = errors.New("a cluster, or a server behind Sentinels, is not at one address: give that of a single server")

// CheckSingle fails when an address is not that of a single server, which DialerTo wants.
func CheckSingle(address string) error {
	a, err := ParseAddress(address)
	if err == nil && a.several() {
		err = errNotSingle
	}
	return err
}

func (a *Address) several() bool { return a.Cluster || a.Master != "" || len(a.Hosts) > 1 }

// DialerTo gives what makes bare connections to the server at an address, for who passes on what
// others say to it: nothing is sent on them but TLS, if the address asks for it. It is for a
// single server: one behind Sentinels, or a cluster, is not at one place.
func DialerTo(ctx context.Context, address string) (func(context.Context) (net.Conn, error), error) {
	a, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	network, at := "tcp", ""
	opts := Options{}
	opts.setDefaults()
	var config *tls.Config
	switch {
	case a.several():
		return nil, errNotSingle
	case a.Scheme == "unix":
		network, at = "unix", a.Path
	case a.Scheme == "local":
		network = "unix"
		if at, err = local.Start(ctx, a.Path); err != nil {
			return nil, err
		}
	default:
		at = a.Hosts[0]
	}
	if a.Scheme == "rediss" {
		if config, err = tlsConfig(&a); err != nil {
			return nil, err
		}
	}
	dial := opts.dialer(&meters{}, config)
	return func(ctx context.Context) (net.Conn, error) { return dial(ctx, network, at) }, nil
}
