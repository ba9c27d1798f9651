package oss_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/oss"
	"mirrorfs/object/oss/osstest"
)

// serve starts a server for the test, and makes its account that of the process.
func serve(t testing.TB) *cloudtest.Server {
	t.Helper()
	server := osstest.Start(t)
	account(t, server.Account)
	return server
}

func account(t testing.TB, a cloudtest.Account) {
	t.Helper()
	t.Setenv("OSS_ACCESS_KEY_ID", a.ID)
	t.Setenv("OSS_ACCESS_KEY_SECRET", a.Secret)
	t.Setenv("OSS_SESSION_TOKEN", a.Token)
	t.Setenv("OSS_CONFIG_FILE", "/dev/null")
}

func open(t testing.TB, o oss.Options) *oss.Store {
	t.Helper()
	o.Region = osstest.Region
	s, err := oss.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// bucket opens a bucket that exists.
func bucket(t testing.TB, server *cloudtest.Server) *oss.Store {
	t.Helper()
	s := open(t, oss.Options{Bucket: "bucket", Endpoint: server.URL})
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// buckets opens a new bucket at each call.
func buckets(server *cloudtest.Server) func(t *testing.T) object.Store {
	var count atomic.Int64
	return func(t *testing.T) object.Store {
		s := open(t, oss.Options{Bucket: fmt.Sprintf("bucket-%d", count.Add(1)), Endpoint: server.URL})
		if err := s.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestStore(t *testing.T) {
	open := buckets(serve(t))
	t.Run("Bare", func(t *testing.T) { objecttest.Run(t, open) })
	t.Run("Wrapped", func(t *testing.T) { objecttest.RunWrapped(t, open) })
	t.Run("Faulty", func(t *testing.T) { objecttest.RunFaulty(t, open, objecttest.Faulty{}) })
}

func TestCut(t *testing.T) {
	objecttest.RunCut(t, serve(t).Host(), func(t *testing.T, address string) object.Store {
		return open(t, oss.Options{Bucket: "bucket", Endpoint: "http://" + address})
	})
}

func TestProbe(t *testing.T) {
	if err := object.Probe(t.Context(), bucket(t, serve(t))); err != nil {
		t.Error(err)
	}
}

func TestMissingBucket(t *testing.T) {
	objecttest.RunMissingBucket(t, open(t, oss.Options{Bucket: "none", Endpoint: serve(t).URL}))
}

func TestDenied(t *testing.T) {
	server := serve(t)
	bucket(t, server)
	machine := cloudtest.StartMetadata(t, rolePath, nil) // of a machine without a role
	for why, a := range map[string]cloudtest.Account{
		"a wrong secret":         {ID: server.Account.ID, Secret: "wrong"},
		"an unknown key":         {ID: "unknown", Secret: "wrong"},
		"a token of another":     {ID: server.Account.ID, Secret: server.Account.Secret, Token: "token"},
		"no credentials":         {},
		"half of them":           {ID: server.Account.ID},
		"the other half of them": {Secret: server.Account.Secret},
	} {
		account(t, a)
		objecttest.RunDenied(t, why, open(t, oss.Options{Bucket: "bucket", Endpoint: server.URL, Metadata: machine.URL}))
	}
	account(t, server.Account)
	server.Skew(20 * 60e9)
	objecttest.RunDenied(t, "a clock that is late", open(t, oss.Options{Bucket: "bucket", Endpoint: server.URL}))
	server.Skew(0)
	s, err := oss.New(oss.Options{Bucket: "bucket", Endpoint: server.URL, Region: "cn-other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "key"); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("signed for another region: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	account(t, cloudtest.Account{ID: "id", Secret: "secret"})
	objecttest.RunAnswers(t, append(objecttest.Common(), []objecttest.Answer{
		{Status: 409, Code: "FileAlreadyExists", Want: object.ErrExist},
		{Status: 409, Code: "FileImmutable", Want: object.ErrDenied},
		{Status: 403, Code: "RequestTimeTooSkewed", Want: object.ErrDenied},
		{Status: 403, Code: "SecurityTokenExpired", Want: object.ErrDenied},
		{Status: 403, Code: "UserDisable", Want: object.ErrDenied},
		{Status: 503, Code: "QpsLimitExceeded", Want: object.ErrThrottled},
		{Status: 503, Code: "DownloadTrafficRateLimitExceeded", Want: object.ErrThrottled},
		{Status: 400, Code: "InvalidObjectName", Want: object.ErrInvalid},
	}...), func(t *testing.T, address string) object.Store {
		return open(t, oss.Options{Bucket: "bucket", Endpoint: "http://" + address})
	})
}

// TestThrottled: a store that is told to slow down comes again, and each attempt is
// one request.
func TestThrottled(t *testing.T) {
	server := serve(t)
	s := bucket(t, server)
	slow := cloudtest.Fault{Status: 503, Code: "QpsLimitExceeded", Message: "slow down"}
	server.Fail(slow)
	before := server.Requests()
	if err := s.Put(t.Context(), "key", []byte("data")); !errors.Is(err, object.ErrThrottled) {
		t.Errorf("Put: %v", err)
	}
	if n := server.Requests() - before; n != 1 {
		t.Errorf("%d requests for one attempt", n)
	}
	server.Fail(slow, slow)
	if err := object.WithRetry(s, object.RetryOptions{FirstPause: 1}).Put(t.Context(), "key", []byte("data")); err != nil {
		t.Errorf("Put with repetitions: %v", err)
	}
}

// TestCorruptUpload: bytes that change on their way are noticed, and sent again.
func TestCorruptUpload(t *testing.T) {
	server := serve(t)
	s := bucket(t, server)
	server.Corrupt(1)
	if err := s.Put(t.Context(), "key", []byte("data")); err == nil {
		t.Error("other bytes were stored, and no error")
	}
	server.Corrupt(2)
	if err := object.WithRetry(s, object.RetryOptions{FirstPause: 1}).Put(t.Context(), "key", []byte("data")); err != nil {
		t.Error(err)
	}
	if info, err := s.Head(t.Context(), "key"); err != nil || info.Size != 4 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestConfigFile(t *testing.T) {
	server := serve(t)
	account(t, cloudtest.Account{})
	for name, text := range map[string]string{
		"ossutil 1": "[Credentials]\nlanguage=EN\naccessKeyID=%s\naccessKeySecret=%s\n",
		"ossutil 2": "# mine\n[profile other]\naccessKeyID = x\n[default]\naccessKeyId = %s\naccessKeySecret = %s\nregion = y\n",
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, fmt.Appendf(nil, text, server.Account.ID, server.Account.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OSS_CONFIG_FILE", path)
		s := open(t, oss.Options{Bucket: "bucket", Endpoint: server.URL})
		if err := s.Create(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []oss.Options{
		{},
		{Bucket: "bucket"},
		{Bucket: "Bucket", Region: "cn-hangzhou"},
		{Bucket: "b", Region: "cn-hangzhou"},
		{Bucket: "bucket", Endpoint: "https://oss-accelerate.aliyuncs.com"},
		{Bucket: "bucket", Endpoint: "host:9000", Region: "r"},
		{Bucket: "bucket", Endpoint: "http://user:pass@host", Region: "r"},
		{Bucket: "bucket", Endpoint: "http://host", Region: "r", Internal: true},
		{Bucket: "bucket", Internal: true},
	} {
		if _, err := oss.New(o); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", o, err)
		}
	}
	for want, o := range map[string]oss.Options{
		"region=cn-hangzhou":               {Bucket: "bucket", Region: "cn-hangzhou"},
		"internal=true&region=cn-shanghai": {Bucket: "bucket", Region: "cn-shanghai", Internal: true},
		"oss-cn-beijing-internal.aliyuncs.com&region=cn-beijing": {
			Bucket: "bucket", Endpoint: "https://oss-cn-beijing-internal.aliyuncs.com",
		},
	} {
		s, err := oss.New(o)
		if err != nil || !strings.HasSuffix(s.String(), want) {
			t.Errorf("%+v: %v, %v", o, s, err)
		}
	}
}
