package costest

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mirrorfs/object/cloud/cloudtest"
)

// Region of the server, by name only: a request does not say it.
const Region = "ap-test"

// Start runs a server until the test ends.
func Start(t testing.TB) *cloudtest.Server {
	t.Helper()
	return cloudtest.Start(t, cloudtest.Dialect{
		Prefix:   "X-Cos-",
		Locate:   locate,
		Signer:   signer,
		Verify:   verify,
		CheckKey: checkKey,
		Whole:    func(*http.Request) bool { return false }, // 7753
		After:    func(q url.Values) string { return q.Get("marker") },
		Listing:  listing,
		MaxKeys:  1000, // 7734
		// 7730
		UnknownID:    *denied("InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records"),
		BadToken:     *denied("InvalidAccessKeyId", "The token does not belong to the key"),
		ExpiredToken: *denied("AccessDenied", "The token has expired"),
		Owned: &cloudtest.Fault{
			Status: http.StatusConflict, Code: "BucketAlreadyOwnedByYou",
			Message: "Your previous request to create the named bucket succeeded and you already own it.",
		},
	})
}

// locate finds the bucket at the beginning of the host's name (6224).
func locate(r *http.Request) (bucket, key string) {
	bucket, _, _ = strings.Cut(r.Host, ".")
	return bucket, strings.TrimPrefix(r.URL.Path, "/")
}

// checkKey follows 13324.
func checkKey(key string) *cloudtest.Fault {
	if len(key) > 850 || strings.HasPrefix(key, "/") {
		return &cloudtest.Fault{Status: http.StatusBadRequest, Code: "KeyTooLong", Message: "Your key is too long."}
	}
	return nil
}

type contents struct {
	Key, LastModified, ETag string
	Size                    int64
	StorageClass            string
}

type listBucketResult struct {
	XMLName                                     xml.Name `xml:"ListBucketResult"`
	Name, EncodingType, Prefix, Marker, MaxKeys string
	IsTruncated                                 bool
	NextMarker                                  string `xml:",omitempty"`
	Contents                                    []contents
}

// listing follows 7734: the marker is a key, and not itself listed.
func listing(q url.Values, page cloudtest.Page) any {
	result := listBucketResult{
		Name: page.Bucket, EncodingType: q.Get("encoding-type"), Prefix: cloudtest.Escape(q, q.Get("prefix")),
		Marker: cloudtest.Escape(q, q.Get("marker")), MaxKeys: q.Get("max-keys"), IsTruncated: page.Truncated,
	}
	for _, o := range page.Objects {
		result.Contents = append(result.Contents, contents{
			Key: cloudtest.Escape(q, o.Key), LastModified: o.ModTime.UTC().Format("2006-01-02T15:04:05.000Z"),
			ETag: `"` + o.ETag + `"`, Size: o.Size, StorageClass: "STANDARD",
		})
		if page.Truncated {
			result.NextMarker = cloudtest.Escape(q, o.Key)
		}
	}
	return result
}
