package mem_test

import (
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/object/objecttest"
)

func TestStore(t *testing.T) {
	open := func(t *testing.T) object.Store { return mem.New(t.Name()) }
	t.Run("Bare", func(t *testing.T) { objecttest.Run(t, open) })
	t.Run("Wrapped", func(t *testing.T) { objecttest.RunWrapped(t, open) })
	t.Run("Faulty", func(t *testing.T) {
		objecttest.RunFaulty(t, open, objecttest.Faulty{Patience: 50 * time.Millisecond, Seeds: []uint64{1, 2}})
	})
}

func TestSpaceSharesByName(t *testing.T) {
	var space mem.Space
	a := space.Store("a")
	if a != space.Store("a") || a == space.Store("b") {
		t.Error("a name is not one store")
	}
}
