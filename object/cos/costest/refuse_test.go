package costest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mirrorfs/object/cos/costest"
)

// TestRefused: a request that was signed and then changed is refused, and one that
// was not changed is served.
func TestRefused(t *testing.T) {
	server := costest.Start(t)
	for name, test := range map[string]struct {
		from   time.Duration // from now, when the signature begins to be valid
		list   string
		change func(r *http.Request)
		want   string // in the answer
	}{
		"unchanged":          {want: "NoSuchBucket"},
		"another key":        {change: func(r *http.Request) { r.URL.Path = "/other" }, want: "SignatureDoesNotMatch"},
		"another bucket":     {change: func(r *http.Request) { r.Host = "other-125.host" }, want: "SignatureDoesNotMatch"},
		"another method":     {change: func(r *http.Request) { r.Method = http.MethodDelete }, want: "SignatureDoesNotMatch"},
		"another parameter":  {change: func(r *http.Request) { r.URL.RawQuery = "prefix=c" }, want: "SignatureDoesNotMatch"},
		"forbid left out":    {change: func(r *http.Request) { r.Header.Del("X-Cos-Forbid-Overwrite") }, want: "SignatureDoesNotMatch"},
		"another time":       {change: func(r *http.Request) { amend(r, "q-sign-time=", "q-sign-time=1") }, want: "AccessDenied"},
		"both times changed": {change: func(r *http.Request) { amend(r, "-time=1", "-time=2") }, want: "RequestTimeTooSkewed"},
		"expired":            {from: -time.Hour, want: "AccessDenied"},
		"from the future":    {from: 20 * time.Minute, want: "RequestTimeTooSkewed"},
		"host not signed":    {list: "x-cos-forbid-overwrite", want: "SignatureDoesNotMatch"},
		"unsigned":           {change: func(r *http.Request) { r.Header.Del("Authorization") }, want: "AccessDenied"},
		"another algorithm":  {change: func(r *http.Request) { amend(r, "=sha1", "=md5") }, want: "AccessDenied"},
		"somebody's account": {change: func(r *http.Request) { amend(r, server.Account.ID, "other") }, want: "InvalidAccessKeyId"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/key?prefix=a%20b", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "bucket-125.host"
		r.Header.Set("X-Cos-Forbid-Overwrite", "true")
		list := "host;x-cos-forbid-overwrite"
		if test.list != "" {
			list = test.list
		}
		from := time.Now().Add(test.from)
		period := fmt.Sprintf("%d;%d", from.Unix(), from.Add(15*time.Minute).Unix())
		fields := "q-sign-algorithm=sha1&q-ak=" + server.Account.ID + "&q-sign-time=" + period + "&q-key-time=" + period +
			"&q-header-list=" + list + "&q-url-param-list=prefix&q-signature="
		r.Header.Set("Authorization", fields+"x")
		r.Header.Set("Authorization", fields+costest.Signature(r, server.Account.Secret))
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

func amend(r *http.Request, old, changed string) {
	r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), old, changed))
}
