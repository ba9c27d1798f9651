package osstest

import (
	"encoding/base64"
	"encoding/xml"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mirrorfs/object/cloud/cloudtest"
)

// Region of the server, which requests must be signed for.
const Region = "cn-test"

// Start runs a server until the test ends.
func Start(t testing.TB) *cloudtest.Server {
	t.Helper()
	return cloudtest.Start(t, cloudtest.Dialect{
		Prefix:      "X-Oss-",
		Locate:      locate,
		Signer:      signer,
		Verify:      verify,
		CheckKey:    checkKey,
		Whole:       whole,
		FaultHeader: faultHeader,
		After:       after,
		Listing:     listing,
		MaxKeys:     100, // developer-reference/listobjects-v2
		// developer-reference/error-responses
		UnknownID: cloudtest.Fault{
			Status: http.StatusForbidden, Code: "InvalidAccessKeyId",
			Message: "The OSS Access Key Id you provided does not exist in our records.",
		},
		BadToken: cloudtest.Fault{
			Status: http.StatusForbidden, Code: "InvalidSecurityToken",
			Message: "The security token you provided is invalid.",
		},
		ExpiredToken: cloudtest.Fault{
			Status: http.StatusForbidden, Code: "SecurityTokenExpired",
			Message: "The security token you provided has expired.",
		},
		// developer-reference/putbucket: the owner may make a bucket again.
		Owned: nil,
	})
}

// locate finds the bucket in the path if the host is an address, and else in the
// host's name (user-guide/access-oss-via-bucket-domain-name).
func locate(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if net.ParseIP(host) != nil {
		bucket, key, _ = strings.Cut(path, "/")
		return bucket, key
	}
	bucket, _, _ = strings.Cut(host, ".")
	return bucket, path
}

// checkKey follows user-guide/object-naming-conventions.
func checkKey(key string) *cloudtest.Fault {
	if len(key) > 1023 || strings.HasPrefix(key, "/") || strings.HasPrefix(key, `\`) {
		return &cloudtest.Fault{
			Status: http.StatusBadRequest, Code: "InvalidObjectName", Message: "The specified object is not valid.",
		}
	}
	return nil
}

// whole follows developer-reference/getobject: a range that the object does not have
// gives all of it, unless standard behaviour is asked for.
func whole(r *http.Request) bool { return r.Header.Get("X-Oss-Range-Behavior") != "standard" }

// faultHeader is what the SDKs read for a HEAD.
func faultHeader(h http.Header, body []byte) {
	h.Set("X-Oss-Err", base64.StdEncoding.EncodeToString(body))
}

// after follows developer-reference/listobjects-v2; the token's form is nobody's
// business.
func after(q url.Values) string {
	if token := q.Get("continuation-token"); token != "" {
		key, err := base64.StdEncoding.DecodeString(token)
		if err == nil {
			return string(key)
		}
	}
	return q.Get("start-after")
}

type contents struct {
	Key, LastModified, ETag, Type string
	Size                          int64
	StorageClass                  string
}

type listBucketResult struct {
	XMLName                                         xml.Name `xml:"ListBucketResult"`
	Name, Prefix, StartAfter, MaxKeys, EncodingType string
	IsTruncated                                     bool
	NextContinuationToken                           string `xml:",omitempty"`
	KeyCount                                        int
	Contents                                        []contents
}

// listing follows developer-reference/listobjects-v2.
func listing(q url.Values, page cloudtest.Page) any {
	result := listBucketResult{
		Name: page.Bucket, Prefix: cloudtest.Escape(q, q.Get("prefix")), StartAfter: cloudtest.Escape(q, q.Get("start-after")),
		MaxKeys: q.Get("max-keys"), EncodingType: q.Get("encoding-type"), IsTruncated: page.Truncated, KeyCount: len(page.Objects),
	}
	for _, o := range page.Objects {
		result.Contents = append(result.Contents, contents{
			Key: cloudtest.Escape(q, o.Key), LastModified: o.ModTime.UTC().Format("2006-01-02T15:04:05.000Z"),
			ETag: `"` + o.ETag + `"`, Type: "Normal", Size: o.Size, StorageClass: "Standard",
		})
		if page.Truncated {
			result.NextContinuationToken = cloudtest.Escape(q, base64.StdEncoding.EncodeToString([]byte(o.Key)))
		}
	}
	return result
}
