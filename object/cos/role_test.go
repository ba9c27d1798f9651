package cos_test

import (
	"fmt"
	"testing"
	"time"

	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/cos"
	"mirrorfs/object/objecttest"
)

const rolePath = "/latest/meta-data/cam/security-credentials/"

func document(a cloudtest.Account) string {
	return fmt.Sprintf(`{"TmpSecretId": %q, "TmpSecretKey": %q, "Token": %q, "ExpiredTime": %d, "Expiration": %q,
		"Code": "Success"}`, a.ID, a.Secret, a.Token, a.Expires.Unix(), a.Expires.UTC().Format(time.RFC3339))
}

// TestRole: the machine's role gives temporary credentials, which are asked for
// once, and again before they expire.
func TestRole(t *testing.T) {
	server := serve(t)
	bucket(t, server)
	account(t, cloudtest.Account{})
	machine := cloudtest.StartMetadata(t, rolePath, nil)
	s := open(t, cos.Options{Bucket: "bucket-125", Endpoint: server.URL, Metadata: machine.URL})
	objecttest.RunDenied(t, "a machine without a role", s)

	first := cloudtest.Account{ID: "AKID", Secret: "secret", Token: "first", Expires: time.Now().Add(time.Hour)}
	server.Allow(first)
	machine.Set(document(first))
	for range 3 {
		if err := s.Put(t.Context(), "key", []byte("data")); err != nil {
			t.Error(err)
		}
	}
	if n := machine.Requests(); n != 1 {
		t.Errorf("asked for credentials %d times", n)
	}
}
