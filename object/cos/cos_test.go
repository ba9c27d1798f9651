package cos_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/cos"
	"mirrorfs/object/cos/costest"
	"mirrorfs/object/objecttest"
)

func use(t testing.TB, a cloudtest.Account) {
	t.Helper()
	t.Setenv("COS_SECRETID", a.ID)
	t.Setenv("COS_SECRETKEY", a.Secret)
	t.Setenv("COS_SESSION_TOKEN", a.Token)
	t.Setenv("TENCENTCLOUD_SECRET_ID", "")
	t.Setenv("TENCENTCLOUD_SECRET_KEY", "")
	t.Setenv("TENCENTCLOUD_CREDENTIALS_FILE", "")
	t.Setenv("HOME", t.TempDir())
}

func open(t testing.TB, p cloudtest.Place) *cos.Store {
	t.Helper()
	s, err := cos.New(cos.Options{
		Bucket: p.Name + "-1250000000", Region: costest.Region, Endpoint: p.Endpoint, Metadata: p.Metadata,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func document(a cloudtest.Account) string {
	return fmt.Sprintf(`{"TmpSecretId": %q, "TmpSecretKey": %q, "Token": %q, "ExpiredTime": %d, "Expiration": %q,
		"Code": "Success"}`, a.ID, a.Secret, a.Token, a.Expires.Unix(), a.Expires.UTC().Format(time.RFC3339))
}

func TestStore(t *testing.T) {
	cloudtest.Run(t, cloudtest.Subject{
		Server: costest.Start(t), Use: use, Document: document,
		RolePath: "/latest/meta-data/cam/security-credentials/",
		Open:     func(t testing.TB, p cloudtest.Place) object.Store { return open(t, p) },
		Answers: []objecttest.Answer{
			{Status: 409, Code: "FileAlreadyExists", Want: object.ErrExist},
			{Status: 403, Code: "RequestTimeTooSkewed", Want: object.ErrDenied},
			{Status: 409, Code: "PathConflict", Want: object.ErrThrottled},
			{Status: 400, Code: "RequestTimeOut", Want: objecttest.ErrPassing},
			{Status: 400, Code: "KeyTooLong", Want: object.ErrInvalid},
		},
	})
}

func TestConfigFile(t *testing.T) {
	server := costest.Start(t)
	create := func() error {
		return open(t, cloudtest.Place{Name: "bucket", Endpoint: server.URL}).Create(t.Context())
	}
	for name, file := range map[string][2]string{
		"coscmd": {".cos.conf", "[common]\nsecret_id = %s\nsecret_key = %s\nbucket = x\n"},
		"shared": {".tencentcloud/credentials", "[default]\nsecret_id=%s\nsecret_key=%s\n"},
	} {
		use(t, cloudtest.Account{})
		path := filepath.Join(os.Getenv("HOME"), file[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, file[1], server.Account.ID, server.Account.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := create(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	use(t, cloudtest.Account{})
	t.Setenv("TENCENTCLOUD_SECRET_ID", server.Account.ID)
	t.Setenv("TENCENTCLOUD_SECRET_KEY", server.Account.Secret)
	if err := create(); err != nil {
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
