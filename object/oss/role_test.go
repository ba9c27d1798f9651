package oss_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"mirrorfs/object/cloud/cloudtest"
	"mirrorfs/object/objecttest"
	"mirrorfs/object/oss"
)

const rolePath = "/latest/meta-data/ram/security-credentials/"

// hardened is a metadata server that gives nothing without a token of its own.
func hardened(w http.ResponseWriter, r *http.Request) bool {
	const token = "metadata-token"
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
}

func document(a cloudtest.Account) string {
	return fmt.Sprintf(`{"AccessKeyId": %q, "AccessKeySecret": %q, "SecurityToken": %q, "Expiration": %q,
		"LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"}`, a.ID, a.Secret, a.Token, a.Expires.UTC().Format(time.RFC3339))
}

// TestRole: the machine's role gives temporary credentials, which are asked for
// once, and again before they expire.
func TestRole(t *testing.T) {
	server := serve(t)
	bucket(t, server)
	account(t, cloudtest.Account{})
	for name, guard := range map[string]func(http.ResponseWriter, *http.Request) bool{"plain": nil, "hardened": hardened} {
		machine := cloudtest.StartMetadata(t, rolePath, guard)
		s := open(t, oss.Options{Bucket: "bucket", Endpoint: server.URL, Metadata: machine.URL})
		objecttest.RunDenied(t, "a machine without a role", s)

		first := cloudtest.Account{ID: "STS." + name, Secret: "secret", Token: "first", Expires: time.Now().Add(time.Hour)}
		server.Allow(first)
		machine.Set(document(first))
		for range 3 {
			if err := s.Put(t.Context(), "key", []byte("data")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := machine.Requests(); n != 1 {
			t.Errorf("%s: asked for credentials %d times", name, n)
		}
	}
}
