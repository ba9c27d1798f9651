package s3front_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what Content-MD5 is
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
	"mirrorfs/gateway/s3front"
)

// bad is a request that is wrong in one way.
type bad struct {
	name         string
	method, path string
	body         string
	header       map[string]string
	access       string // empty is the right one; "-" is none
	secret       string
	at           time.Duration // of the signature, from now
	spoil        func(*http.Request)
	status       int
	code         string
}

// send signs a request and sends it.
func (r *rig) send(t testing.TB, b *bad) (status int, text string) {
	t.Helper()
	method, path := b.method, b.path
	if method == "" {
		method = http.MethodPut
	}
	if path == "" {
		path = "/" + bucket + "/bad/key"
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(b.body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(b.body))
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	for k, v := range b.header {
		req.Header.Set(k, v)
	}
	c := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	if b.access != "" {
		c.AccessKeyID = b.access
	}
	if b.secret != "" {
		c.SecretAccessKey = b.secret
	}
	err = v4.NewSigner().SignHTTP(context.Background(), c, req, req.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", time.Now().Add(b.at))
	if err != nil {
		t.Fatal(err)
	}
	if b.spoil != nil {
		b.spoil(req)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(got)
}

func authorization(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

func badRequests() []bad {
	today := time.Now().UTC().Format("20060102")
	md5sum := md5.Sum([]byte("other")) //nolint:gosec // see above
	return []bad{
		{name: "wrong secret", secret: "not the secret", status: 403, code: "SignatureDoesNotMatch"},
		{name: "unknown key", access: "AKNOBODY", status: 403, code: "InvalidAccessKeyId"},
		{name: "empty key", spoil: authorization("AWS4-HMAC-SHA256 Credential=/" + today + "/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=00"), status: 403},
		{name: "signed an hour ago", at: -time.Hour, status: 403, code: "RequestTimeTooSkewed"},
		{name: "signed in an hour", at: time.Hour, status: 403, code: "RequestTimeTooSkewed"},
		{name: "no signature", spoil: func(r *http.Request) { r.Header.Del("Authorization") }, status: 403, code: "AccessDenied"},
		{name: "empty authorization", spoil: authorization(" "), status: 403},
		{name: "basic authorization", spoil: authorization("Basic dTpw"), status: 400},
		{name: "half an authorization", spoil: authorization("AWS4-HMAC-SHA256 Credential="), status: 400},
		{name: "no end", spoil: authorization("AWS4-HMAC-SHA256 " + strings.Repeat("Credential=a/b/c,", 200)), status: 400},
		{name: "another region", spoil: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "mars-1", 1))
		}, status: 400, code: "AuthorizationHeaderMalformed"},
		{name: "a header changed", spoil: func(r *http.Request) { r.Header.Set("X-Amz-Date", r.Header.Get("X-Amz-Date")[:15]+"0") }, status: 403},
		{name: "another path", spoil: func(r *http.Request) { r.URL.Path += "x" }, status: 403, code: "SignatureDoesNotMatch"},
		{name: "other bytes than signed", body: "some", spoil: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("sums")) }, status: 400, code: "XAmzContentSHA256Mismatch"},
		{name: "wrong MD5", body: "some", header: map[string]string{"Content-MD5": base64.StdEncoding.EncodeToString(md5sum[:])}, status: 400, code: "BadDigest"},
		{name: "no MD5 at all", body: "some", header: map[string]string{"Content-MD5": "!"}, status: 400, code: "InvalidDigest"},
		{name: "wrong CRC32", body: "some", header: map[string]string{"X-Amz-Checksum-Crc32": "AAAAAA=="}, status: 400, code: "BadDigest"},
		{name: "wrong CRC64NVME", body: "some", header: map[string]string{"X-Amz-Checksum-Crc64nvme": "AAAAAAAAAAA="}, status: 400, code: "BadDigest"},
		{name: "wrong SHA-256", body: "some", header: map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(make([]byte, 32))}, status: 400, code: "BadDigest"},
		{name: "broken chunks", body: "5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\n\r\n", header: map[string]string{
			"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "X-Amz-Decoded-Content-Length": "5", "Content-Encoding": "aws-chunked",
		}, status: 400},
		{name: "no chunks", body: "hello", header: map[string]string{
			"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5", "X-Amz-Trailer": "x-amz-checksum-crc32",
		}, status: 400},
		{name: "wrong trailer", body: "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", header: map[string]string{
			"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": "5", "X-Amz-Trailer": "x-amz-checksum-crc32",
		}, status: 400, code: "BadDigest"},
		{name: "broken XML", method: "POST", path: "/" + bucket + "?delete", body: "<Delete><Object>", header: map[string]string{"X-Amz-Checksum-Crc32": ""}, status: 400},
		{name: "key with ..", path: "/" + bucket + "/bad/%2e%2e/key", status: 403},
		{name: "long key", path: "/" + bucket + "/bad/" + strings.Repeat("k", 300), status: 400, code: "KeyTooLongError"},
	}
}

// What is wrong is refused with an error of S3, and nothing is written.
func TestBadRequests(t *testing.T) {
	r := serve(t, gatewaytest.Options{})
	for _, b := range badRequests() {
		t.Run(b.name, func(t *testing.T) {
			status, text := r.send(t, &b)
			if status != b.status || b.code != "" && !strings.Contains(text, "<Code>"+b.code+"</Code>") {
				t.Errorf("%d %s, want %d %s", status, text, b.status, b.code)
			}
			if strings.Contains(text, secretKey) {
				t.Errorf("the answer has the secret: %s", text)
			}
		})
	}
	if _, err := r.Head(t.Context(), gateway.GetRequest{Name: gateway.Name{Bucket: bucket, Key: "bad/key"}}); gateway.KindOf(err) != gateway.NoSuchKey {
		t.Errorf("something was written: %v", err)
	}
	if status, text := r.send(t, &bad{body: "good"}); status != 200 {
		t.Errorf("what is right: %d %s", status, text)
	}
}

// A client that goes away in the middle of a body has written nothing.
func TestTruncatedBodyWritesNothing(t *testing.T) {
	w := &witness{c: make(chan struct{}, 10)}
	r := serve(t, gatewaytest.Options{}, func(o *s3front.Options) { o.Served = w.served })
	req, err := http.NewRequest(http.MethodPut, r.url+"/"+bucket+"/cut", bytes.NewReader(make([]byte, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	c := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, req, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := req.Write(&whole); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(whole.Bytes()[:whole.Len()-1000]); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := w.last(t); got.Status < 400 {
		t.Errorf("answered with %d", got.Status)
	}
	_ = conn.Close()
	if _, err := r.Head(t.Context(), gateway.GetRequest{Name: gateway.Name{Bucket: bucket, Key: "cut"}}); gateway.KindOf(err) != gateway.NoSuchKey {
		t.Errorf("something was written: %v", err)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add(`<Delete><Object><Key>k</Key></Object></Delete>`, "?delete")
	f.Add(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>`, "/k?uploadId=x")
	f.Add(`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`, "/k?tagging")
	r := serve(f, gatewaytest.Options{})
	f.Fuzz(func(t *testing.T, body, where string) {
		method := http.MethodPost
		switch where {
		case "/k?tagging":
			method = http.MethodPut
		case "?delete", "/k?uploadId=x":
		default:
			t.Skip()
		}
		if status, text := r.send(t, &bad{method: method, path: "/" + bucket + where, body: body, header: map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}}); status == 500 {
			t.Errorf("%d %s", status, text)
		}
	})
}
