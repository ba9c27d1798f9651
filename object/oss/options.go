package oss

import (
	"net/url"
	"regexp"
	"strings"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// Options of a bucket. Bucket and one of Region and Endpoint are needed.
type Options struct {
	Bucket string
	// Region to sign for, such as cn-hangzhou; empty means the one that Endpoint
	// names.
	Region string
	// Endpoint is the server's URL, scheme included; empty means Alibaba's for the
	// region, by https.
	Endpoint string
	// Internal takes the region's endpoint for machines inside Alibaba Cloud, where
	// traffic is not billed.
	Internal bool
	// Connections is how many requests may run at once with a kept connection
	// each; 0 means 64.
	Connections int
	// Metadata is the URL of the server that gives the instance's role; empty means
	// Alibaba's.
	Metadata string
}

// bucketName is that of https://www.alibabacloud.com/help/en/oss/user-guide/bucket-naming-conventions
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// Validate tells whether the options can work, by object.ErrInvalid.
func (o Options) Validate() error {
	switch {
	case o.Bucket == "":
		return object.Invalidf("no bucket, want oss://bucket")
	case !bucketName.MatchString(o.Bucket):
		return object.Invalidf("bucket %q, want 3 to 63 lowercase letters, digits and hyphens", o.Bucket)
	case o.Internal && o.Endpoint != "":
		return object.Invalidf("internal chooses the region's endpoint; leave it out beside endpoint")
	}
	if err := cloud.CheckEndpoint(o.Endpoint); err != nil {
		return err
	}
	if o.region() == "" {
		return object.Invalidf("no region, want region=cn-hangzhou or the like")
	}
	return nil
}

// region is the one to sign for.
func (o Options) region() string {
	if o.Region != "" {
		return o.Region
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return ""
	}
	// https://www.alibabacloud.com/help/en/oss/user-guide/regions-and-endpoints
	host, ok := strings.CutSuffix(u.Hostname(), ".aliyuncs.com")
	region, is := strings.CutPrefix(host, "oss-")
	if !ok || !is || strings.HasPrefix(region, "accelerate") {
		return ""
	}
	return strings.TrimSuffix(region, "-internal")
}

func (o Options) endpoint() string {
	switch {
	case o.Endpoint != "":
		return o.Endpoint
	case o.Internal:
		return "https://oss-" + o.Region + "-internal.aliyuncs.com"
	}
	return "https://oss-" + o.Region + ".aliyuncs.com"
}

// String is the address with every setting that was given, and no credentials.
func (s *Store) String() string {
	query := url.Values{}
	if s.opts.Endpoint != "" {
		query.Set("endpoint", s.opts.Endpoint)
	}
	if s.opts.Internal {
		query.Set("internal", "true")
	}
	query.Set("region", s.opts.region())
	return "oss://" + s.opts.Bucket + "?" + query.Encode()
}
