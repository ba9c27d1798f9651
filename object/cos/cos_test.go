package cos_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/cos"
	"mirrorfs/object/cos/costest"
	"mirrorfs/object/objecttest"
)

// serve starts a server for the test, and makes its account that of the process.
func serve(t testing.TB) *cloudtest.Server {
	t.Helper()
	server := costest.Start(t)
	account(t, server.Account)
	return server
}

func account(t testing.TB, a cloudtest.Account) {
	t.Helper()
	t.Setenv("COS_SECRETID", a.ID)
	t.Setenv("COS_SECRETKEY", a.Secret)
	t.Setenv("COS_SESSION_TOKEN", a.Token)
	t.Setenv("TENCENTCLOUD_SECRET_ID", "")
	t.Setenv("TENCENTCLOUD_SECRET_KEY", "")
	t.Setenv("HOME", t.TempDir())
}

func open(t testing.TB, o cos.Options) *cos.Store {
	t.Helper()
	o.Region = costest.Region
	s, err := cos.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// bucket opens a bucket that exists.
func bucket(t testing.TB, server *cloudtest.Server) *cos.Store {
	t.Helper()
	s := open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL})
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// buckets opens a new bucket at each call.
func buckets(server *cloudtest.Server) func(t *testing.T) object.Store {
	var count atomic.Int64
	return func(t *testing.T) object.Store {
		s := open(t, cos.Options{Bucket: fmt.Sprintf("bucket-%d-125", count.Add(1)), Endpoint: server.URL})
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
		return open(t, cos.Options{Bucket: "bucket-125", Endpoint: "http://" + address})
	})
}

func TestProbe(t *testing.T) {
	if err := object.Probe(t.Context(), bucket(t, serve(t))); err != nil {
		t.Error(err)
	}
}

func TestMissingBucket(t *testing.T) {
	objecttest.RunMissingBucket(t, open(t, cos.Options{Bucket: "none-125", Endpoint: serve(t).URL}))
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
		objecttest.RunDenied(t, why, open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL, Metadata: machine.URL}))
	}
	account(t, server.Account)
	server.Skew(20 * 60e9)
	objecttest.RunDenied(t, "a clock that is late", open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL}))
	server.Skew(0)
}

func TestAnswers(t *testing.T) {
	account(t, cloudtest.Account{ID: "id", Secret: "secret"})
	objecttest.RunAnswers(t, append(objecttest.Common(), []objecttest.Answer{
		{Status: 409, Code: "FileAlreadyExists", Want: object.ErrExist},
		{Status: 403, Code: "RequestTimeTooSkewed", Want: object.ErrDenied},
		{Status: 409, Code: "PathConflict", Want: object.ErrThrottled},
		{Status: 400, Code: "RequestTimeOut", Want: objecttest.ErrPassing},
		{Status: 400, Code: "KeyTooLong", Want: object.ErrInvalid},
	}...), func(t *testing.T, address string) object.Store {
		return open(t, cos.Options{Bucket: "bucket-125", Endpoint: "http://" + address})
	})
}

// TestThrottled: a store that is told to slow down comes again, and each attempt is
// one request.
func TestThrottled(t *testing.T) {
	server := serve(t)
	s := bucket(t, server)
	slow := cloudtest.Fault{Status: 503, Code: "SlowDown", Message: "slow down"}
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
	for name, file := range map[string][2]string{
		"coscmd": {".cos.conf", "[common]\nsecret_id = %s\nsecret_key = %s\nbucket = x\n"},
		"shared": {".tencentcloud/credentials", "[default]\nsecret_id=%s\nsecret_key=%s\n"},
	} {
		account(t, cloudtest.Account{})
		path := filepath.Join(os.Getenv("HOME"), file[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, file[1], server.Account.ID, server.Account.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL}).Create(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	account(t, cloudtest.Account{})
	t.Setenv("TENCENTCLOUD_SECRET_ID", server.Account.ID)
	t.Setenv("TENCENTCLOUD_SECRET_KEY", server.Account.Secret)
	if err := open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL}).Create(t.Context()); err != nil {
		t.Errorf("the other variables: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []cos.Options{
		{},
		{Bucket: "bucket-125"},
		{Bucket: "bucket", Region: "ap-guangzhou"},
		{Bucket: "Bucket-125", Region: "ap-guangzhou"},
		{Bucket: "bucket-125", Region: "ap/guangzhou"},
		{Bucket: "bucket-125", Endpoint: "host:9000"},
		{Bucket: "bucket-125", Endpoint: "http://user:pass@host"},
	} {
		if _, err := cos.New(o); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", o, err)
		}
	}
}
