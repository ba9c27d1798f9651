package s3_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

// serve starts a server for the test, and makes its account that of the process.
func serve(t testing.TB) s3test.Server {
	t.Helper()
	server := s3test.Start(t)
	credentials(t, server.AccessKey, server.SecretKey)
	return server
}

func credentials(t testing.TB, access, secret string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func open(t testing.TB, server s3test.Server, bucket string) *s3.Store {
	t.Helper()
	s, err := s3.New(t.Context(), s3.Options{
		Bucket: bucket, Endpoint: server.Endpoint, Region: s3test.Region, PathStyle: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// buckets opens a new bucket at each call.
func buckets(server s3test.Server) func(t *testing.T) object.Store {
	var count atomic.Int64
	return func(t *testing.T) object.Store {
		s := open(t, server, fmt.Sprintf("bucket-%d", count.Add(1)))
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
	server := serve(t)
	objecttest.RunCut(t, strings.TrimPrefix(server.Endpoint, "http://"), func(t *testing.T, address string) object.Store {
		server.Endpoint = "http://" + address
		return open(t, server, "bucket")
	})
}

func TestProbe(t *testing.T) {
	if err := object.Probe(t.Context(), buckets(serve(t))(t)); err != nil {
		t.Error(err)
	}
}

func TestMissingBucket(t *testing.T) { objecttest.RunMissingBucket(t, open(t, serve(t), "none")) }

func TestDenied(t *testing.T) {
	server := serve(t)
	s := open(t, server, "bucket")
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong := map[string]func() *s3.Store{
		"wrong secret": func() *s3.Store {
			credentials(t, server.AccessKey, "wrong")
			return open(t, server, "bucket")
		},
		"unknown key": func() *s3.Store {
			credentials(t, "unknown", "wrong")
			return open(t, server, "bucket")
		},
		"no credentials": func() *s3.Store {
			credentials(t, "", "")
			return open(t, server, "bucket")
		},
		"anonymous": func() *s3.Store {
			s, err := s3.New(t.Context(), s3.Options{
				Bucket: "bucket", Endpoint: server.Endpoint, PathStyle: true, Anonymous: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
	for what, open := range wrong {
		objecttest.RunDenied(t, what, open())
	}
}
