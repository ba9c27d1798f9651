package s3_test

import (
	"errors"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/s3"
	"mirrorfs/object/s3/s3test"
)

func TestAnswers(t *testing.T) {
	credentials(t, "key", "secret")
	objecttest.RunAnswers(t, append(objecttest.Common(), []objecttest.Answer{
		{Status: 404, Code: "XAdminUserNotFound", Want: object.ErrDenied},
		{Status: 409, Code: "ConditionalRequestConflict", Want: object.ErrThrottled},
		{Status: 400, Code: "ExpiredToken", Want: object.ErrDenied},
		{Status: 403, Code: "RequestTimeTooSkewed", Want: objecttest.ErrPassing},
		{Status: 403, Code: "QuotaExceeded", Want: object.ErrNoSpace},
		{Status: 400, Code: "KeyTooLongError", Want: object.ErrInvalid},
		{Status: 409, Code: "ObjectParentIsFile", Want: object.ErrInvalid},
	}...), func(t *testing.T, address string) object.Store {
		return open(t, s3test.Server{Endpoint: "http://" + address}, "bucket")
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []s3.Options{
		{},
		{Bucket: "b", Endpoint: "host:9000"},
		{Bucket: "b", Endpoint: "ftp://host"},
		{Bucket: "b", Endpoint: "http://"},
		{Bucket: "b", Endpoint: "http://user:pass@host"},
	} {
		if _, err := s3.New(t.Context(), o); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", o, err)
		}
	}
}
