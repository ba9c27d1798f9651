package s3_test

import (
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/objecttest"
)

func BenchmarkStore(b *testing.B) {
	s := open(b, serve(b), "bucket")
	if err := s.Create(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("Bare", func(b *testing.B) { objecttest.Bench(b, s) })
	b.Run("Wrapped", func(b *testing.B) {
		objecttest.Bench(b, object.WithLimit(object.WithRetry(s, object.RetryOptions{}), 64))
	})
}
