package gateway_test

import (
	"bytes"
	"io"
	"testing"

	"mirrorfs/gateway"
	"mirrorfs/gateway/gatewaytest"
)

const bucket = gatewaytest.Bucket

func key(k string) gateway.Name { return gateway.Name{Bucket: bucket, Key: k} }

func content(body []byte) gateway.Content {
	return gateway.Content{Body: bytes.NewReader(body), Size: int64(len(body))}
}

// put makes an object of a few bytes.
func put(t testing.TB, g gateway.API, k, body string) gateway.Info {
	t.Helper()
	info, err := g.Put(t.Context(), gateway.PutRequest{Name: key(k), Content: content([]byte(body))})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// get reads an object.
func get(t testing.TB, g gateway.API, r gateway.GetRequest) string {
	t.Helper()
	o, err := g.Get(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fails checks the kind of an error.
func fails(t testing.TB, err error, want gateway.Kind) {
	t.Helper()
	if err == nil || gateway.KindOf(err) != want {
		t.Errorf("error is %v (kind %d), want kind %d", err, gateway.KindOf(err), want)
	}
}
