package file_test

import (
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/file"
	"mirrorfs/object/objecttest"
)

func open(t *testing.T) *file.Store {
	t.Helper()
	s, err := file.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store { return open(t) })
}
