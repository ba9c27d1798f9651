package osstest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mirrorfs/object/oss/osstest"
)

// TestRefused: a request that was signed and then changed is refused, and one that
// was not changed is served.
func TestRefused(t *testing.T) {
	server := osstest.Start(t)
	for name, test := range map[string]struct {
		at     time.Time
		change func(r *http.Request)
		want   string // in the answer
	}{
		"unchanged":          {want: "NoSuchBucket"},
		"another key":        {change: func(r *http.Request) { r.URL.Path = "/bucket/other" }, want: "SignatureDoesNotMatch"},
		"another bucket":     {change: func(r *http.Request) { r.URL.Path = "/other/key" }, want: "SignatureDoesNotMatch"},
		"another method":     {change: func(r *http.Request) { r.Method = http.MethodDelete }, want: "SignatureDoesNotMatch"},
		"another parameter":  {change: func(r *http.Request) { r.URL.RawQuery = "acl" }, want: "SignatureDoesNotMatch"},
		"another type":       {change: func(r *http.Request) { r.Header.Set("Content-Type", "a/b") }, want: "SignatureDoesNotMatch"},
		"forbid left out":    {change: func(r *http.Request) { r.Header.Del("X-Oss-Forbid-Overwrite") }, want: "SignatureDoesNotMatch"},
		"a header more":      {change: func(r *http.Request) { r.Header.Set("X-Oss-Acl", "public-read") }, want: "SignatureDoesNotMatch"},
		"another time":       {change: func(r *http.Request) { r.Header.Set("X-Oss-Date", stamp(time.Now().Add(time.Minute))) }, want: "SignatureDoesNotMatch"},
		"expired":            {at: time.Now().Add(-16 * time.Minute), want: "RequestTimeTooSkewed"},
		"from the future":    {at: time.Now().Add(16 * time.Minute), want: "RequestTimeTooSkewed"},
		"unsigned":           {change: func(r *http.Request) { r.Header.Del("Authorization") }, want: "AccessDenied"},
		"version 1":          {change: func(r *http.Request) { r.Header.Set("Authorization", "OSS id:sum") }, want: "InvalidArgument"},
		"an additional one":  {change: func(r *http.Request) { amend(r, "Signature=", "AdditionalHeaders=range,Signature=") }, want: "SignatureDoesNotMatch"},
		"another region":     {change: func(r *http.Request) { amend(r, osstest.Region, "cn-other") }, want: "InvalidArgument"},
		"somebody's account": {change: func(r *http.Request) { amend(r, server.Account.ID, "other") }, want: "InvalidAccessKeyId"},
		"without a time":     {change: func(r *http.Request) { r.Header.Del("X-Oss-Date") }, want: "InvalidArgument"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/bucket/key", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		if !test.at.IsZero() {
			at = test.at
		}
		r.Header.Set("X-Oss-Date", stamp(at))
		r.Header.Set("X-Oss-Content-Sha256", "UNSIGNED-PAYLOAD")
		r.Header.Set("X-Oss-Forbid-Overwrite", "true")
		scope := server.Account.ID + "/" + stamp(at)[:8] + "/" + osstest.Region + "/oss/aliyun_v4_request"
		r.Header.Set("Authorization", "OSS4-HMAC-SHA256 Credential="+scope+",Signature=x")
		r.Header.Set("Authorization", "OSS4-HMAC-SHA256 Credential="+scope+",Signature="+osstest.Signature(r, server.Account.Secret))
		if test.change != nil {
			test.change(r)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), "<Code>"+test.want+"</Code>") {
			t.Errorf("%s: %s %s, want %s; %v", name, resp.Status, body, test.want, err)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

func amend(r *http.Request, old, changed string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, changed, 1))
}
