package osstest_test

import (
	"net/http"
	"testing"

	"mirrorfs/object/oss/osstest"
)

// TestSignature: requests and signatures that the vendor's own SDKs are tested
// with, in several languages.
func TestSignature(t *testing.T) {
	for _, test := range []struct {
		name, date, token, additional, want string
	}{
		{
			name: "header", date: "20231216T162057Z",
			want: "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
		},
		{
			name: "token", date: "20231217T034736Z", token: "token",
			want: "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
		},
		{
			name: "additional headers", date: "20231216T172512Z", additional: "AdditionalHeaders=abc;zabc,",
			want: "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
		},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			"http://bucket.oss-cn-hangzhou.aliyuncs.com/1234%2B-/123/1.txt"+
				"?param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2&%7Cparam2&param2", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"x-oss-head1": "value", "abc": "value", "ZAbc": "value", "XYZ": "value", "content-type": "text/plain",
			"x-oss-content-sha256": "UNSIGNED-PAYLOAD", "x-oss-date": test.date,
			"Authorization": "OSS4-HMAC-SHA256 Credential=ak/" + test.date[:8] + "/cn-hangzhou/oss/aliyun_v4_request," +
				test.additional + "Signature=x",
		} {
			r.Header.Set(name, value)
		}
		if test.token != "" {
			r.Header.Set("x-oss-security-token", test.token)
		}
		if got := osstest.Signature(r, "sk"); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
