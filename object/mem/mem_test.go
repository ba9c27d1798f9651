package mem_test

import (
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
)

func TestStore(t *testing.T) {
	objecttest.Run(t, func(*testing.T) object.Store { return mem.New("test") })
}

func TestSpaceSharesByName(t *testing.T) {
	var space mem.Space
	a := space.Store("a")
	if a != space.Store("a") || a == space.Store("b") {
		t.Error("a name is not one store")
	}
}
