package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

// witness stands before a real server. It notes what headers come with each method, and
// changes bodies that are read if it is told to.
type witness struct {
	*httptest.Server
	mu      sync.Mutex
	seen    map[string]http.Header
	corrupt bool
}

func newWitness(t *testing.T, server s3test.Server) *witness {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{seen: map[string]http.Header{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !w.corrupt || r.Request.Method != http.MethodGet || r.StatusCode != http.StatusOK {
				return nil
			}
			data, err := io.ReadAll(r.Body)
			if len(data) > 0 {
				data[len(data)/2] ^= 1
			}
			_ = r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(data))
			return err
		},
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen[r.Method] = r.Header.Clone()
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) header(method, name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[method].Get(name)
}

// What the options ask of the server goes with the requests that it belongs to.
func TestOptionsReachTheServer(t *testing.T) {
	server := serve(t)
	plain := open(t, server, "bucket")
	if err := plain.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWitness(t, server)
	s, err := s3.New(t.Context(), s3.Options{
		Bucket: "bucket", Endpoint: w.URL, Region: s3test.Region, PathStyle: true,
		Encryption: "aws:kms", EncryptionKey: "our-key", StorageClass: "STANDARD", RequesterPays: true, Checksums: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	data := bytes.Repeat([]byte("block"), 1000)
	// A server without a KMS may refuse to encrypt; what it was asked is seen all the same.
	_ = s.Put(t.Context(), "key", data)
	if err := plain.Put(t.Context(), "key", data); err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := s.Head(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	for _, want := range []struct{ method, name, value string }{
		{http.MethodPut, "X-Amz-Server-Side-Encryption", "aws:kms"},
		{http.MethodPut, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "our-key"},
		{http.MethodPut, "X-Amz-Storage-Class", "STANDARD"},
		{http.MethodPut, "X-Amz-Request-Payer", "requester"},
		{http.MethodPut, "X-Amz-Checksum-Crc32c", "CDk3JA=="},
		{http.MethodGet, "X-Amz-Request-Payer", "requester"},
		{http.MethodGet, "X-Amz-Checksum-Mode", "ENABLED"},
		{http.MethodHead, "X-Amz-Request-Payer", "requester"},
		{http.MethodDelete, "X-Amz-Request-Payer", "requester"},
	} {
		if got := w.header(want.method, want.name); got != want.value {
			t.Errorf("%s has %s: %q, want %q", want.method, want.name, got, want.value)
		}
	}
	if _, err := s.List(t.Context(), "", "", 1); err != nil || w.header(http.MethodGet, "X-Amz-Request-Payer") != "requester" {
		t.Errorf("a listing: %v", err)
	}
}

// With checksums a body that was changed on its way is an error, not data.
func TestChecksumsOfDownloads(t *testing.T) {
	server := serve(t)
	if err := open(t, server, "bucket").Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWitness(t, server)
	s, err := s3.New(t.Context(), s3.Options{Bucket: "bucket", Endpoint: w.URL, Region: s3test.Region, PathStyle: true, Checksums: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	data := bytes.Repeat([]byte("block"), 1000)
	if err := s.Put(t.Context(), "key", data); err != nil {
		t.Fatal(err)
	}
	for _, corrupt := range []bool{false, true} {
		w.mu.Lock()
		w.corrupt = corrupt
		w.mu.Unlock()
		r, err := s.Get(t.Context(), "key", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if corrupt != (err != nil) {
			t.Errorf("changed: %v, error: %v", corrupt, err)
		}
	}
}

// Credentials of the machine (EC2) and of a web identity (EKS) come from the SDK's chain.
func TestCredentialsOfTheMachine(t *testing.T) {
	server := serve(t)
	if err := open(t, server, "bucket").Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(*testing.T, s3test.Server) *requests{"instance role": instanceRole, "web identity": webIdentity} {
		t.Run(name, func(t *testing.T) {
			credentials(t, "", "")
			asked := set(t, server)
			s := open(t, server, "bucket")
			if err := s.Put(t.Context(), "key", []byte("data")); err != nil {
				t.Fatal(err)
			}
			if len(asked.list()) == 0 {
				t.Error("nobody was asked for credentials")
			}
		})
	}
}

// requests are the paths that a service was asked for.
type requests struct {
	mu    sync.Mutex
	paths []string
}

func (r *requests) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, path)
}

func (r *requests) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.paths)
}

// instanceRole serves an EC2 instance's metadata (IMDSv2), as its User Guide describes it.
func instanceRole(t *testing.T, server s3test.Server) *requests {
	t.Helper()
	asked := &requests{}
	const roles = "/latest/meta-data/iam/security-credentials/"
	imds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add(r.URL.Path)
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, "token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == roles:
			_, _ = io.WriteString(w, "mirrorfs")
		case r.URL.Path == roles+"mirrorfs":
			_, _ = io.WriteString(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"`+server.AccessKey+`","SecretAccessKey":"`+server.SecretKey+
				`","Token":"","LastUpdated":"2026-01-01T00:00:00Z","Expiration":"2126-01-01T00:00:00Z"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(imds.Close)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL)
	return asked
}

// webIdentity serves the token service (STS), as its API reference describes it.
func webIdentity(t *testing.T, server s3test.Server) *requests {
	t.Helper()
	asked := &requests{}
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("WebIdentityToken") != "identity" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		asked.add(r.Form.Get("Action"))
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>`+server.AccessKey+`</AccessKeyId><SecretAccessKey>`+server.SecretKey+`</SecretAccessKey>
<SessionToken></SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
	}))
	t.Cleanup(sts.Close)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", tokenFile(t))
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/mirrorfs")
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	return asked
}

func tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("identity"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
