package cloud

import (
	"net"
	"net/url"
	"strings"

	"mirrorfs/object"
)

// CheckKey is object.CheckKey for keys of at most most bytes that travel in a URL's
// path: ".", ".." and empty components are refused, since some clients, proxies
// and servers take them out, and the key would be another one's.
func CheckKey(key string, most int) error {
	for component := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		if component == "" || component == "." || component == ".." {
			return object.Invalidf("key has a component %q", component)
		}
	}
	if len(key) > most {
		return object.Invalidf("key of %d bytes, the most is %d", len(key), most)
	}
	return object.CheckKey(key)
}

// CheckEndpoint tells whether endpoint is the URL of a server, by
// object.ErrInvalid. An empty one is none.
func CheckEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return object.Invalidf("endpoint %q, want http://host:port or https://host", endpoint)
	}
	if u.User != nil {
		return object.Invalidf("the endpoint must hold no credentials")
	}
	return nil
}

// IsIP tells whether a URL's host is an address, before which no bucket's name
// can be put.
func IsIP(u *url.URL) bool { return net.ParseIP(u.Hostname()) != nil }
