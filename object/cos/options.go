package cos

import (
	"net/url"
	"regexp"
	"strings"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// Options of a bucket. Bucket and one of Region and Endpoint are needed.
type Options struct {
	// Bucket with the number of its account, as name-1250000000.
	Bucket string
	// Region such as ap-guangzhou.
	Region string
	// Endpoint is the server's URL, scheme included; empty means Tencent's for the
	// region, by https. The bucket's name is put before the host, unless it is there
	// already. If the host is an IP address, the name goes into the Host header.
	Endpoint string
	// Connections is how many requests may run at once with a kept connection
	// each; 0 means 64.
	Connections int
	// Metadata is the URL of the server that gives the instance's role; empty means
	// Tencent's.
	Metadata string
}

// What https://www.tencentcloud.com/document/product/436/13312 and
// https://www.tencentcloud.com/document/product/436/6224 allow.
var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*-[0-9]+$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]+$`)
)

const maxBucketBytes = 60

// Validate tells whether the options can work, by object.ErrInvalid.
func (o Options) Validate() error {
	switch {
	case o.Bucket == "":
		return object.Invalidf("no bucket, want cos://name-appid")
	case len(o.Bucket) > maxBucketBytes || !bucketName.MatchString(o.Bucket):
		return object.Invalidf("bucket %q, want name-appid, as in training-1250000000", o.Bucket)
	case o.Region == "" && o.Endpoint == "":
		return object.Invalidf("no region, want region=ap-guangzhou or the like")
	case o.Region != "" && !regionName.MatchString(o.Region):
		return object.Invalidf("region %q, want ap-guangzhou or the like", o.Region)
	}
	return cloud.CheckEndpoint(o.Endpoint)
}

// location is where to connect to, and the value of the Host header if that is
// another.
func (o Options) location() (server *url.URL, host string, err error) {
	if o.Endpoint == "" {
		return &url.URL{Scheme: "https", Host: o.Bucket + ".cos." + o.Region + ".myqcloud.com"}, "", nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, "", object.Invalidf("endpoint: %v", err)
	}
	server = &url.URL{Scheme: u.Scheme, Host: u.Host}
	named := o.Bucket + "." + u.Host
	switch {
	case strings.HasPrefix(u.Host, o.Bucket+"."):
		return server, "", nil
	case cloud.IsIP(u):
		return server, named, nil
	}
	server.Host = named
	return server, "", nil
}

// String is the address with every setting that was given, and no credentials.
func (s *Store) String() string {
	query := url.Values{}
	if s.opts.Endpoint != "" {
		query.Set("endpoint", s.opts.Endpoint)
	}
	if s.opts.Region != "" {
		query.Set("region", s.opts.Region)
	}
	return "cos://" + s.opts.Bucket + "?" + query.Encode()
}
