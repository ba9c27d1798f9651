package file_test

import (
	"testing"

	"mirrorfs/object/objecttest"
)

func BenchmarkStore(b *testing.B) {
	objecttest.Bench(b, open(b, b.TempDir()))
}
