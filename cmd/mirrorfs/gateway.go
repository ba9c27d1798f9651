package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/gateway"
	"mirrorfs/gateway/access"
	"mirrorfs/gateway/limit"
	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// Variables with a key that may do everything, for gateways without a file of keys. They are not those
// of AWS, which say how this process itself reaches its bucket.
const (
	envAccessKey = "MIRRORFS_ACCESS_KEY"
	envSecretKey = "MIRRORFS_SECRET_KEY" //nolint:gosec // the name of a variable
)

// gatewayOptions are the flags of gateway.
type gatewayOptions struct {
	clientOptions
	address             string
	buckets, bucket     string
	region, domain      string
	uid, gid            uint32
	keys                string
	anonymous           bool
	tlsCert, tlsKey     string
	maxRequests         int
	maxConnections      int
	bandwidth           byteSize
	connectionBandwidth byteSize
	clientTimeout       time.Duration
	grace               time.Duration
	audit               string
}

// What --buckets says.
const (
	bucketsVolume = "volume"
	bucketsDirs   = "dirs"
)

func newGatewayCommand(c *cli) *cobra.Command {
	opts := gatewayOptions{clientOptions: clientOptions{cacheSize: 10 << 30, bufferSize: 64 << 20}}
	cmd := &cobra.Command{
		Use:   "gateway META --address ADDRESS",
		Short: "Serve a volume over S3",
		Long: `gateway serves the files of the volume at META, a source or a mirror, as S3 objects
until it is told to end (Ctrl-C, SIGTERM). It then takes no more connections and ends when
the requests under way are answered, or after --grace.

The volume is one bucket of its name, or with --buckets dirs each directory at its top
is a bucket. Clients sign with keys of a file (--keys), which is read again when it
changes, or with the one in MIRRORFS_ACCESS_KEY and MIRRORFS_SECRET_KEY, which may do everything.

GET /healthz and /readyz answer load balancers. See docs/gateway.md.`,
		Example: `  mirrorfs gateway redis://10.8.0.5/0 --address :9000 --keys /etc/mirrorfs/keys.json --read-only
  mirrorfs gateway local:/var/lib/mirrorfs/meta --address 127.0.0.1:9000 --buckets dirs --audit /var/log/mirrorfs/s3.log
  mirrorfs gateway redis://10.8.0.5/0 --address :443 --tls-cert gateway.pem --tls-key gateway.key --virtual-host s3.example.com`,
		Args: exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.validate(); err != nil {
				return err
			}
			return c.gateway(cmd.Context(), args[0], opts)
		},
	}
	f := cmd.Flags()
	opts.addFlags(f, "directory of this gateway's own for the cache (default: one named after volume and port below /var/cache/mirrorfs, or the user's cache)")
	f.StringVar(&opts.address, "address", "", "where to serve, host:port or :port")
	f.StringVar(&opts.buckets, "buckets", bucketsVolume, "what the buckets are: volume (one), or dirs (the directories at the top)")
	f.StringVar(&opts.bucket, "bucket", "", "name of the bucket that the volume is (default: the volume's)")
	f.StringVar(&opts.region, "region", "us-east-1", "region that clients sign for")
	f.StringVar(&opts.domain, "virtual-host", "", "domain below which a name is a bucket's, as in bucket.s3.example.com")
	f.Uint32Var(&opts.uid, "uid", 0, "owner of the files that are made")
	f.Uint32Var(&opts.gid, "gid", 0, "group of the files that are made")
	f.StringVar(&opts.keys, "keys", "", "file of the keys that clients sign with")
	f.BoolVar(&opts.anonymous, "anonymous-read", false, "let everybody read everything without a signature")
	f.StringVar(&opts.tlsCert, "tls-cert", "", "file of the certificate (PEM), which is read again when it changes")
	f.StringVar(&opts.tlsKey, "tls-key", "", "file of its key")
	f.IntVar(&opts.maxRequests, "max-requests", limit.DefaultRequests, "requests at a time: more get 503 SlowDown")
	f.IntVar(&opts.maxConnections, "max-connections", limit.DefaultConnections, "connections at a time: more wait")
	f.Var(&opts.bandwidth, "bandwidth", "limit of bytes a second, both ways together (0: none)")
	f.Var(&opts.connectionBandwidth, "connection-bandwidth", "limit of bytes a second of each connection (0: none)")
	f.DurationVar(&opts.clientTimeout, "client-timeout", time.Minute, "how long a client may be idle, or take longer than 16 KiB/s would")
	f.DurationVar(&opts.grace, "grace", 30*time.Second, "when told to end: how long requests under way may take")
	f.StringVar(&opts.audit, "audit", "", "file to which a line of JSON is added for each request; - is stderr")
	return cmd
}

func (o *gatewayOptions) validate() error {
	if o.address == "" {
		return usagef("mirrorfs gateway: --address ADDRESS is missing")
	}
	if _, _, err := net.SplitHostPort(o.address); err != nil {
		return usagef("--address %q: want host:port or :port", o.address)
	}
	if o.buckets != bucketsVolume && o.buckets != bucketsDirs {
		return usagef("--buckets %s: want volume or dirs", o.buckets)
	}
	if o.bucket != "" && o.buckets != bucketsVolume {
		return usagef("--bucket names the one bucket that the volume is: it does not go with --buckets %s", o.buckets)
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usagef("--tls-cert and --tls-key go together")
	}
	if o.maxRequests <= 0 || o.maxConnections <= 0 {
		return usagef("--max-requests and --max-connections: want more than 0")
	}
	if o.bandwidth < 0 || o.connectionBandwidth < 0 {
		return usagef("--bandwidth and --connection-bandwidth: want 0 or more")
	}
	if o.clientTimeout < time.Second || o.grace < 0 {
		return usagef("--client-timeout: want 1s or more; --grace: 0 or more")
	}
	return o.clientOptions.validate()
}

// gatewayKeys reads the keys.
func (c *cli) gatewayKeys(o *gatewayOptions) (*access.Keyring, error) {
	all := access.Options{File: o.keys, AnonymousRead: o.anonymous, Logger: c.log}
	if key, secret := c.getenv(envAccessKey), c.getenv(envSecretKey); key != "" || secret != "" {
		if err := access.CheckPair(key, secret); err != nil {
			return nil, usagef("%s and %s: %w", envAccessKey, envSecretKey, err)
		}
		all.Keys = append(all.Keys, access.NewKey(access.KeyOptions{Access: key, Secret: secret, Role: access.Admin}))
	}
	ring, err := access.New(all)
	if errors.Is(err, access.ErrNone) {
		return nil, usagef("%w: name a file of keys (--keys), set %s and %s, or allow --anonymous-read", err, envAccessKey, envSecretKey)
	}
	return ring, err
}

// gatewayResult is what gateway prints once it serves.
type gatewayResult struct {
	URL     string `json:"url"`
	Volume  string `json:"volume"`
	Site    string `json:"site"`
	Mirror  bool   `json:"mirror"`
	Buckets string `json:"buckets"`
}

func (r *gatewayResult) write(w io.Writer) {
	fmt.Fprintf(w, "serving volume %s at %s\n", r.Volume, r.URL)
}

// gateway serves a volume over S3 until ctx ends.
func (c *cli) gateway(ctx context.Context, addr string, opts gatewayOptions) (err error) {
	keys, err := c.gatewayKeys(&opts)
	if err != nil {
		return err
	}
	var cert *access.Certificate
	if opts.tlsCert != "" {
		if cert, err = access.NewCertificate(access.CertificateOptions{CertFile: opts.tlsCert, KeyFile: opts.tlsKey, Logger: c.log}); err != nil {
			return err
		}
	}
	cl, err := c.openClient(ctx, addr, &opts.clientOptions, func(v *volume) (string, error) {
		_, port, _ := net.SplitHostPort(opts.address)
		return opts.cacheNamed("gateway-" + v.Settings.Name + "-" + port)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	err = cl.newFS(ctx, vfs.Options{
		Session:       meta.SessionInfo{Kind: "gateway", Mount: opts.address},
		BufferedBytes: int64(opts.bufferSize),
	})
	if err != nil {
		return err
	}
	bucket := ""
	if opts.buckets == bucketsVolume {
		if bucket = opts.bucket; bucket == "" {
			bucket = cl.v.Settings.Name
		}
	}
	gw, err := gateway.New(gateway.Options{FS: cl.fs, Bucket: bucket, UID: opts.uid, GID: opts.gid, Logger: c.log})
	if err != nil {
		return hintf(err, "--bucket NAME gives the bucket another name than the volume's; --buckets dirs makes each directory at the top one")
	}
	s, err := newS3Server(cl, gw, keys, cert, &opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return cl.run(ctx, s.serve)
}
