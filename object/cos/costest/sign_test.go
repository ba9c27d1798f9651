package costest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mirrorfs/object/cos/costest"
)

const host = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"

// TestSignature: the two examples of https://cloud.tencent.com/document/product/436/7778
func TestSignature(t *testing.T) {
	for _, test := range []struct {
		method, target, body, times, parameters, want string
		headers                                       map[string]string
		list                                          string
	}{
		{
			method: http.MethodPut, target: "/exampleobject(%E8%85%BE%E8%AE%AF%E4%BA%91)", body: "ObjectContent",
			times: "1557989151;1557996351", want: "3b8851a11a569213c17ba8fa7dcf2abec6935172",
			list: "content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read",
			headers: map[string]string{
				"Date": "Thu, 16 May 2019 06:45:51 GMT", "Content-Type": "text/plain", "Content-MD5": "mQ/fVh815F3k6TAUm8m0eg==",
				"x-cos-acl": "private", "x-cos-grant-read": `uin="100000000011"`,
			},
		},
		{
			method: http.MethodGet,
			target: "/exampleobject(%E8%85%BE%E8%AE%AF%E4%BA%91)" +
				"?response-content-type=application%2Foctet-stream&response-cache-control=max-age%3D600",
			times: "1557989753;1557996953", want: "01681b8c9d798a678e43b685a9f1bba0f6c0e012",
			list: "date;host", parameters: "response-cache-control;response-content-type",
			headers: map[string]string{"Date": "Thu, 16 May 2019 06:55:53 GMT"},
		},
	} {
		r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, strings.NewReader(test.body))
		r.Host = host
		for name, value := range test.headers {
			r.Header.Set(name, value)
		}
		r.Header.Set("Authorization", "q-sign-algorithm=sha1&q-ak=AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q&q-sign-time="+test.times+
			"&q-key-time="+test.times+"&q-header-list="+test.list+"&q-url-param-list="+test.parameters+"&q-signature=x")
		if got := costest.Signature(r, "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz"); got != test.want {
			t.Errorf("%s: %s, want %s", test.method, got, test.want)
		}
	}
}
