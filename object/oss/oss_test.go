package oss_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/oss"
	"mirrorfs/object/oss/osstest"
)

const rolePath = "/latest/meta-data/ram/security-credentials/"

func use(t testing.TB, a cloudtest.Account) {
	t.Helper()
	t.Setenv("OSS_ACCESS_KEY_ID", a.ID)
	t.Setenv("OSS_ACCESS_KEY_SECRET", a.Secret)
	t.Setenv("OSS_SESSION_TOKEN", a.Token)
	t.Setenv("OSS_CONFIG_FILE", "/dev/null")
}

func open(t testing.TB, p cloudtest.Place) *oss.Store {
	t.Helper()
	s, err := oss.New(oss.Options{
		Bucket: "oss-" + p.Name, Region: osstest.Region, Endpoint: p.Endpoint, Metadata: p.Metadata,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func document(a cloudtest.Account) string {
	return fmt.Sprintf(`{"AccessKeyId": %q, "AccessKeySecret": %q, "SecurityToken": %q, "Expiration": %q,
		"LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"}`, a.ID, a.Secret, a.Token, a.Expires.UTC().Format(time.RFC3339))
}

func TestStore(t *testing.T) {
	cloudtest.Run(t, cloudtest.Subject{
		Server: osstest.Start(t), Use: use, RolePath: rolePath, Document: document,
		Open: func(t testing.TB, p cloudtest.Place) object.Store { return open(t, p) },
		Answers: []objecttest.Answer{
			{Status: 409, Code: "FileAlreadyExists", Want: object.ErrExist},
			{Status: 409, Code: "FileImmutable", Want: object.ErrDenied},
			{Status: 403, Code: "RequestTimeTooSkewed", Want: object.ErrDenied},
			{Status: 403, Code: "SecurityTokenExpired", Want: object.ErrDenied},
			{Status: 403, Code: "UserDisable", Want: object.ErrDenied},
			{Status: 503, Code: "QpsLimitExceeded", Want: object.ErrThrottled},
			{Status: 503, Code: "DownloadTrafficRateLimitExceeded", Want: object.ErrThrottled},
			{Status: 400, Code: "InvalidObjectName", Want: object.ErrInvalid},
		},
	})
}

// TestHardenedMachine: a metadata server that gives nothing without a token of its
// own.
func TestHardenedMachine(t *testing.T) {
	server := osstest.Start(t)
	use(t, cloudtest.Account{})
	const token = "metadata-token"
	machine := cloudtest.StartMetadata(t, rolePath, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" &&
			r.Header.Get("X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds") != "":
			_, _ = w.Write([]byte(token))
			return false
		case r.Header.Get("X-Aliyun-Ecs-Metadata-Token") != token:
			w.WriteHeader(http.StatusForbidden)
			return false
		}
		return true
	})
	a := cloudtest.Account{ID: "STS.id", Secret: "secret", Token: "token", Expires: time.Now().Add(time.Hour)}
	server.Allow(a)
	machine.Set(document(a))
	if err := open(t, cloudtest.Place{Name: "bucket", Endpoint: server.URL, Metadata: machine.URL}).Create(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegion(t *testing.T) {
	server := osstest.Start(t)
	use(t, server.Account)
	s, err := oss.New(oss.Options{Bucket: "bucket", Endpoint: server.URL, Region: "cn-other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "key"); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("signed for another region: %v", err)
	}
}

func TestConfigFile(t *testing.T) {
	server := osstest.Start(t)
	use(t, cloudtest.Account{})
	for name, text := range map[string]string{
		"ossutil 1": "[Credentials]\nlanguage=EN\naccessKeyID=%s\naccessKeySecret=%s\n",
		"ossutil 2": "# mine\n[profile other]\naccessKeyID = x\n[default]\naccessKeyId = %s\naccessKeySecret = %s\nregion = y\n",
	} {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, fmt.Appendf(nil, text, server.Account.ID, server.Account.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OSS_CONFIG_FILE", path)
		if err := open(t, cloudtest.Place{Name: "bucket", Endpoint: server.URL}).Create(t.Context()); err != nil {
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
