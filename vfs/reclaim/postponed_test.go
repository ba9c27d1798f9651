package reclaim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/vfs/reclaim"
)

// twoBuckets deletes from both; the far one may be down.
type twoBuckets struct {
	near, far object.Store
	down      atomic.Bool
	asked     atomic.Int64 // deletions in the near bucket
}

func (b *twoBuckets) Delete(ctx context.Context, key string) error {
	b.asked.Add(1)
	if err := b.near.Delete(ctx, key); err != nil {
		return err
	}
	if b.down.Load() {
		return fmt.Errorf("%w: far: no route", object.ErrPartial)
	}
	return b.far.Delete(ctx, key)
}

// dueFiles makes files whose blocks are in both buckets, and due to be deleted.
func (v *volume) dueFiles(far object.Store, files int) {
	v.Helper()
	for i := range files {
		v.file(fmt.Sprint(i), block)
		v.unlink(fmt.Sprint(i))
	}
	for _, key := range v.keys() {
		v.ok(far.Put(v.Context(), key, []byte("copy")))
	}
	v.pass(trash + time.Second)
	v.ok(v.reclaimer(v.options()).Orphans(v.Context()))
	v.pass(grace + time.Second)
}

// One bucket of two does not answer: space comes back in the other, nothing is forgotten, and what was done is not done
// again with each pass. When it answers, the rest goes.
func TestGoesOnWithoutABucket(t *testing.T) {
	const files = 1000 // several batches
	v := newVolume(t)
	far := mem.New("far")
	v.dueFiles(far, files)
	b := &twoBuckets{near: v.bucket, far: far}
	b.down.Store(true)
	opts := v.options()
	opts.Blocks, opts.Postponed, opts.Workers = b, &reclaim.Postponed{Claims: v.e}, 4
	pass := func() (reclaim.FreedReport, error) {
		t.Helper()
		r := v.reclaimer(opts)
		err := r.Freed(t.Context())
		return r.Report().Freed, err
	}
	for n := range 5 {
		r, err := pass()
		if !errors.Is(err, object.ErrPartial) || !strings.Contains(err.Error(), "no route") || r.Deleted.Objects != 0 || r.Postponed.Objects != files {
			t.Fatalf("pass %d: %+v, %v", n, r, err)
		}
		v.holds()
	}
	if asked, most := b.asked.Load(), int64(files+5*(256+opts.Workers)); asked < files || asked > most {
		t.Errorf("five passes asked the bucket that answers %d times to delete %d blocks, want at most %d", asked, files, most)
	}
	v.file("new", block)
	v.unlink("new")
	v.pass(trash + time.Second)
	v.ok(v.reclaimer(opts).Orphans(t.Context()))
	v.pass(grace + time.Second)
	if r, err := pass(); !errors.Is(err, object.ErrPartial) || r.Postponed.Objects != files+1 {
		t.Errorf("with something new: %+v, %v", r, err)
	}
	v.holds()
	b.down.Store(false)
	if r, err := pass(); err != nil || r.Deleted.Objects != files+1 || r.Postponed.Objects != 0 {
		t.Errorf("when the bucket answers: %+v, %v", r, err)
	}
	left, err := far.List(t.Context(), "", "", 10)
	if err != nil || len(left) != 0 {
		t.Errorf("the other bucket holds %v, %v", left, err)
	}
	if r, err := pass(); err != nil || r.Due.Objects != 0 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

// Of many clients one goes on without a bucket; the others would do the same again.
func TestOneClientGoesOnWithoutABucket(t *testing.T) {
	const files = 600
	v := newVolume(t)
	far := mem.New("far")
	v.dueFiles(far, files)
	b := &twoBuckets{near: v.bucket, far: far}
	b.down.Store(true)
	for n := range 10 {
		opts := v.options()
		opts.Blocks, opts.Postponed, opts.Yield = b, &reclaim.Postponed{Claims: v.e}, true
		r := v.reclaimer(opts)
		if err := r.Freed(t.Context()); !errors.Is(err, object.ErrPartial) {
			t.Fatalf("client %d: %v", n, err)
		}
	}
	if asked, most := b.asked.Load(), int64(files+9*256); asked > most {
		t.Errorf("ten clients asked %d times to delete %d blocks, want at most a batch each, %d", asked, files, most)
	}
	v.holds()
}

// A bucket that is alone and does not answer ends the pass: there is nothing to be had elsewhere.
func TestNoBucketAnswers(t *testing.T) {
	v := newVolume(t)
	v.dueFiles(mem.New("far"), 100)
	down := &failing{Store: v.bucket}
	opts := v.options()
	opts.Blocks = down
	if err := v.reclaimer(opts).Freed(t.Context()); err == nil || errors.Is(err, object.ErrPartial) {
		t.Error(err)
	}
	if asked := -down.left; asked > 16 {
		t.Errorf("%d deletions were tried", asked)
	}
}
