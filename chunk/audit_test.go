package chunk_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

const auditBlock = 64 << 10

// written makes slices of 2.5 blocks and of one.
func written(t *testing.T, store object.Store) []chunk.SliceRef {
	t.Helper()
	b, err := chunk.New(store, nil, chunk.Options{BlockBytes: auditBlock})
	if err != nil {
		t.Fatal(err)
	}
	var all []chunk.SliceRef
	for i, size := range []int{auditBlock * 5 / 2, auditBlock, 7, auditBlock * 5 / 2} {
		s := chunk.SliceRef{Slice: uint64(1 + 256*i), Home: uint8(1 + i/3), Size: uint32(size)}
		w := b.NewWriter(s.Slice, s.Home, nil)
		if _, err := w.Write(t.Context(), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// audited gives the slices that an audit and a deep one find bad.
func audited(t *testing.T, store, second object.Store, refs []chunk.SliceRef) (found, deep []uint64) {
	t.Helper()
	done := 0
	opts := chunk.AuditOptions{BlockBytes: auditBlock, Progress: func(n int) { done = n }, Bad: func(s chunk.SliceRef, err error) {
		t.Log(s.Slice, err)
		found = append(found, s.Slice)
	}}
	if err := chunk.Audit(t.Context(), store, second, slices.Clone(refs), opts); err != nil || done != len(refs) {
		t.Fatalf("%d slices done of %d, %v", done, len(refs), err)
	}
	b, err := chunk.New(second, nil, chunk.Options{BlockBytes: auditBlock})
	if err != nil {
		t.Fatal(err)
	}
	opts.Bad = func(s chunk.SliceRef, _ error) { deep = append(deep, s.Slice) }
	if err := errors.Join(b.AuditDeep(t.Context(), refs, opts), b.Close()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	slices.Sort(deep)
	return found, deep
}

func TestAudit(t *testing.T) {
	store, other := mem.New("a"), mem.New("b")
	refs := written(t, store)
	check := func(what string, second object.Store, wantFound, wantDeep []uint64) {
		t.Helper()
		if found, deep := audited(t, store, second, refs); !slices.Equal(found, wantFound) || !slices.Equal(deep, wantDeep) {
			t.Errorf("%s: found %v, want %v; deep %v, want %v", what, found, wantFound, deep, wantDeep)
		}
	}
	check("all there", store, nil, nil)
	change := func(block int, edit func(b []byte) []byte) {
		t.Helper()
		key := chunk.Key(1, 1, block)
		r, err := store.Get(t.Context(), key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		if err := store.Put(t.Context(), key, edit(b.Bytes())); err != nil {
			t.Fatal(err)
		}
	}
	change(1, func(b []byte) []byte { b[5000] ^= 1; return b })
	check("a wrong byte", store, nil, []uint64{1})
	change(1, func(b []byte) []byte { b[5000] ^= 1; return b })
	change(2, func(b []byte) []byte { return b[:len(b)-1] })
	check("a short block", store, []uint64{1}, []uint64{1})
	if err := store.Delete(t.Context(), chunk.Key(1, 257, 0)); err != nil {
		t.Fatal(err)
	}
	check("a missing block", store, []uint64{1, 257}, []uint64{1, 257})
	written(t, other)
	if found, _ := audited(t, store, other, refs); found != nil {
		t.Errorf("blocks that are elsewhere: found %v", found)
	}
}

// What lies beside the blocks in a store, more than one list has, is no matter.
func TestAuditOfACrowdedStore(t *testing.T) {
	store := mem.New("a")
	refs := written(t, store)
	for i := range 1500 {
		for _, key := range []string{chunk.Key(1, uint64(1+256*(100+i)), 0), fmt.Sprintf("data/1/01/foreign-%d", i)} {
			if err := store.Put(t.Context(), key, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found, deep := audited(t, store, store, refs); found != nil || deep != nil {
		t.Errorf("found %v, deep %v", found, deep)
	}
}
