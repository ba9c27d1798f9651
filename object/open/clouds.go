package open

import (
	"context"
	"net/url"
	"strings"

	"mirrorfs/object"
	"mirrorfs/object/cos"
	"mirrorfs/object/oss"
	"mirrorfs/object/s3"
)

func openS3(ctx context.Context, u *url.URL, opts Options) (object.Store, error) {
	o := s3.Options{Bucket: u.Host, Connections: opts.Connections}
	err := set(u, map[string]any{
		"endpoint": &o.Endpoint, "region": &o.Region, "path_style": &o.PathStyle, "profile": &o.Profile, "anonymous": &o.Anonymous,
		"sse": &o.Encryption, "sse_key": &o.EncryptionKey, "storage_class": &o.StorageClass, "requester_pays": &o.RequesterPays, "checksums": &o.Checksums,
	}, "endpoint, region, path_style, profile, anonymous, sse, sse_key, storage_class, requester_pays or checksums")
	if err != nil {
		return nil, err
	}
	s, err := s3.New(ctx, o)
	return below(u, s, err)
}

func openOSS(u *url.URL, opts Options) (object.Store, error) {
	o := oss.Options{Bucket: u.Host, Connections: opts.Connections}
	err := set(u, map[string]any{
		"endpoint": &o.Endpoint, "region": &o.Region, "internal": &o.Internal,
	}, "endpoint, region or internal")
	if err != nil {
		return nil, err
	}
	s, err := oss.New(o)
	return below(u, s, err)
}

func openCOS(u *url.URL, opts Options) (object.Store, error) {
	o := cos.Options{Bucket: u.Host, Connections: opts.Connections}
	err := set(u, map[string]any{"endpoint": &o.Endpoint, "region": &o.Region}, "endpoint or region")
	if err != nil {
		return nil, err
	}
	s, err := cos.New(o)
	return below(u, s, err)
}

// below gives the part of a bucket that an address's path names.
func below(u *url.URL, s object.Store, err error) (object.Store, error) {
	if err != nil {
		return nil, err
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		return object.WithPrefix(s, prefix+"/"), nil
	}
	return s, nil
}

// set puts an address's settings into the strings and booleans that belong to their
// names; names tells a user what there is.
func set(u *url.URL, settings map[string]any, names string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return object.Invalidf("settings: %v", err)
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch into := settings[name].(type) {
		case *string:
			*into = value
		case *bool:
			if *into, err = boolean(name, value); err != nil {
				return err
			}
		default:
			return object.Invalidf("unknown setting %q, want %s", name, names)
		}
	}
	return nil
}

func boolean(name, value string) (bool, error) {
	switch value {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, object.Invalidf("%s=%q, want true or false", name, value)
}
