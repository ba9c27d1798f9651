package open_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/open"
)

func env(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
}

// TestAddresses: the address of an open store opens the same one again.
func TestAddresses(t *testing.T) {
	env(t)
	for addr, want := range map[string]string{
		"file:///some/dir":                        "file:///some/dir",
		"file:///some/../dir/":                    "file:///dir",
		"file:///a%20dir":                         "file:///a%20dir",
		"mem://name":                              "mem://name",
		"s3://bucket":                             "s3://bucket?region=us-east-1",
		"s3://bucket/":                            "s3://bucket?region=us-east-1",
		"s3://bucket/a/b/":                        "s3://bucket/a/b?region=us-east-1",
		"s3://bucket?region=eu":                   "s3://bucket?region=eu",
		"s3://b/p?anonymous=true":                 "s3://b/p?anonymous=true&region=us-east-1",
		"s3://b?endpoint=http://h:9&path_style=1": "s3://b?endpoint=http%3A%2F%2Fh%3A9&path_style=true&region=us-east-1",
		"s3://b?sse=aws:kms&sse_key=k&storage_class=STANDARD_IA": "s3://b?region=us-east-1&sse=aws%3Akms&sse_key=k&storage_class=STANDARD_IA",
		"s3://b?requester_pays=1&checksums=1":                    "s3://b?checksums=true&region=us-east-1&requester_pays=true",
		"oss://bucket?region=cn-hangzhou":                        "oss://bucket?region=cn-hangzhou",
		"oss://bucket/a/?region=r-1&internal=1":                  "oss://bucket/a?internal=true&region=r-1",
		"oss://bucket?endpoint=https://oss-cn-beijing-internal.aliyuncs.com": "oss://bucket?" +
			"endpoint=https%3A%2F%2Foss-cn-beijing-internal.aliyuncs.com&region=cn-beijing",
		"cos://bucket-125/a/b?region=ap-guangzhou": "cos://bucket-125/a/b?region=ap-guangzhou",
		"cos://bucket-125?endpoint=http://h":       "cos://bucket-125?endpoint=http%3A%2F%2Fh",
	} {
		opts := open.Options{Memory: new(mem.Space), Metrics: prometheus.NewRegistry()}
		for range 2 {
			s, err := open.Store(t.Context(), addr, opts)
			if err != nil {
				t.Fatal(err)
			}
			if s.String() != want {
				t.Errorf("%s gave a store at %s, want %s", addr, s, want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			addr = s.String()
		}
	}
}

// TestWrongAddresses: each says what is wrong and what would be right, and no
// message repeats a secret.
func TestWrongAddresses(t *testing.T) {
	env(t)
	for addr, want := range map[string]string{
		"":                             "file:///dir",
		"/some/dir":                    "file:///dir",
		"dir":                          "file:///dir",
		"file://dir":                   "three slashes",
		"file://dir/x":                 "three slashes",
		"file:/dir?x=y":                "no settings",
		"file:":                        "absolute",
		"ftp://host/dir":               "unknown scheme",
		"s3:bucket":                    "s3://bucket",
		"s3://":                        "no bucket",
		"s3:///prefix":                 "no bucket",
		"s3://b?sse=des":               "AES256",
		"s3://b?sse_key=k":             "sse=aws:kms",
		"s3://b?storage_class=GLACIER": "restored",
		"s3://b?regoin=x":              `unknown setting "regoin"`,
		"s3://b?path_style=maybe":      "true or false",
		"s3://b?endpoint=host:9000":    "want http://",
		"s3://b?endpoint=%zz":          "settings",
		"s3://b#x":                     "file:///dir",
		"mem://":                       "mem://name",
		"mem://a/b":                    "mem://name",
		"mem://name":                   "one process",
		"s3://key:hunter2@bucket":      "AWS_ACCESS_KEY_ID",
		"s3://key:hun/ter2@bucket":     "",
		"s3://b?endpoint=http://key:hunter2@host": "no credentials",
		"s3://b?access_key=hunter2":               "unknown setting",
		"://":                                     "file:///dir",
		"s3://%":                                  "file:///dir",
		"oss://":                                  "no bucket",
		"oss://bucket":                            "no region",
		"oss://bucket?region=r&internal=maybe":    "true or false",
		"oss://bucket?region=r&path_style=true":   `unknown setting "path_style"`,
		"oss://key:hunter2@bucket?region=r":       "OSS_ACCESS_KEY_ID",
		"cos://":                                  "no bucket",
		"cos://bucket?region=ap-guangzhou":        "name-appid",
		"cos://bucket-125":                        "no region",
		"cos://bucket-125?internal=true":          `unknown setting "internal"`,
		"cos://key:hunter2@bucket-125":            "COS_SECRETID",
	} {
		_, err := open.Store(t.Context(), addr, open.Options{})
		if !errors.Is(err, object.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want ErrInvalid with %q", addr, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: the secret is in %q", addr, err)
		}
	}
}

func TestMemoryIsShared(t *testing.T) {
	opts := open.Options{Memory: new(mem.Space)}
	for _, name := range []string{"a", "b"} {
		s, err := open.Store(t.Context(), "mem://"+name, opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutIfAbsent(t.Context(), "key", nil); err != nil {
			t.Error(err)
		}
	}
	s, err := open.Store(t.Context(), "mem://a", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutIfAbsent(t.Context(), "key", nil); !errors.Is(err, object.ErrExist) {
		t.Error(err)
	}
}

func TestStore(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store {
		s, err := open.Store(t.Context(), "file://"+t.TempDir(), open.Options{Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
