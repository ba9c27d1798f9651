package reclaim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/vfs/reclaim"
)

const (
	block = 64 << 10
	trash = time.Hour
	grace = 10 * time.Minute
)

// volume is a source with a bucket, and a clock that tests move.
type volume struct {
	*testing.T
	e      *model.Engine
	bucket object.Store
	mu     sync.Mutex
	now    time.Time
	slices uint64
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{T: t, bucket: mem.New("b"), now: time.Now()}
	settings := meta.Volume{
		Name: "test", BlockBytes: block, Trash: trash, Grace: grace,
		Sites: map[uint8]meta.Site{1: {ID: 1, Name: "a"}},
	}
	v.e = model.New(settings, v.clock)
	v.ok(v.e.StartSession(t.Context(), meta.SessionInfo{}))
	_, err := v.e.Change(t.Context(), meta.Reserve{Count: 1000})
	v.ok(err)
	return v
}

func (v *volume) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *volume) pass(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

func (v *volume) ok(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

func (v *volume) do(c meta.Change) meta.Node {
	v.Helper()
	res, err := v.e.Change(v.Context(), c)
	v.ok(err)
	return res.Node
}

// put writes the blocks of a slice.
func (v *volume) put(slice uint64, size int) {
	v.Helper()
	for n := 0; n*block < size; n++ {
		v.ok(v.bucket.Put(v.Context(), chunk.Key(1, slice, n), make([]byte, min(block, size-n*block))))
	}
}

// write gives a file new content of a size: a slice.
func (v *volume) write(ino meta.Ino, size int) uint64 {
	v.Helper()
	v.slices++
	v.put(v.slices, size)
	n := uint32(size)
	v.do(meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: n, Slice: v.slices, Home: 1, Size: n}}}}})
	return v.slices
}

func (v *volume) file(name string, size int) meta.Ino {
	v.Helper()
	n := v.do(meta.Make{Parent: meta.RootIno, Name: name, Mode: meta.TypeFile | 0o644})
	if size > 0 {
		v.write(n.Ino, size)
	}
	return n.Ino
}

func (v *volume) unlink(name string) {
	v.Helper()
	v.do(meta.Unlink{Parent: meta.RootIno, Name: name})
}

// keys lists the bucket.
func (v *volume) keys() []string {
	v.Helper()
	list, err := v.bucket.List(v.Context(), "", "", object.MaxListed)
	v.ok(err)
	var keys []string
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return keys
}

func (v *volume) holds(want ...string) {
	v.Helper()
	slices.Sort(want)
	if got := v.keys(); !slices.Equal(got, want) {
		v.Fatalf("the bucket holds %v, want %v", got, want)
	}
}

func (v *volume) options() reclaim.Options {
	return reclaim.Options{Meta: v.e, Blocks: v.bucket, Now: v.clock}
}

func (v *volume) reclaimer(opts reclaim.Options) *reclaim.Reclaimer {
	v.Helper()
	r, err := reclaim.New(opts)
	v.ok(err)
	return r
}

// run purges and deletes what is due.
func (v *volume) run(opts reclaim.Options) reclaim.Report {
	v.Helper()
	r := v.reclaimer(opts)
	v.ok(r.Orphans(v.Context()))
	v.ok(r.Freed(v.Context()))
	return r.Report()
}

// TestSpaceComesBack follows a file from its deletion to the last byte in the bucket.
func TestSpaceComesBack(t *testing.T) {
	v := newVolume(t)
	v.file("f", 2*block+1)
	keep := v.file("keep", 10)
	v.unlink("f")
	v.pass(trash)
	if r := v.run(v.options()); r.Orphans.Due != 0 {
		t.Errorf("a file was purged too early: %+v", r)
	}
	v.pass(time.Second)
	dry := v.options()
	dry.DryRun = true
	if r := v.run(dry); r.Orphans.Due != 1 || r.Orphans.Purged != 0 {
		t.Errorf("a dry run: %+v", r)
	}
	if r := v.run(v.options()); r.Orphans.Purged != 1 || r.Freed.Due.Objects != 0 {
		t.Errorf("when the trash time was up: %+v", r)
	}
	v.pass(grace + time.Second)
	want := reclaim.Amount{Objects: 3, Bytes: 2*block + 1}
	if r := v.run(dry); r.Freed.Due != want || r.Freed.Deleted.Objects != 0 || len(v.keys()) != 4 {
		t.Errorf("a dry run: %+v", r)
	}
	if r := v.run(v.options()); r.Freed.Deleted != want {
		t.Errorf("after the grace: %+v", r)
	}
	v.holds(chunk.Key(1, 2, 0))
	// What is overwritten in part has not been in the trash before.
	v.write(keep, 20)
	v.pass(grace + time.Minute)
	if r := v.run(v.options()); r.Freed.Due.Objects != 0 {
		t.Errorf("what was overwritten went too early: %+v", r)
	}
	v.pass(trash)
	if r := v.run(v.options()); r.Freed.Deleted.Objects != 1 {
		t.Errorf("what was overwritten: %+v", r)
	}
	v.holds(chunk.Key(1, 3, 0))
}

// TestPromise10NothingIsDeletedUnderAReader: blocks stay until every mirror has applied the
// record that freed them, and while a client has the file open.
func TestPromise10NothingIsDeletedUnderAReader(t *testing.T) {
	v := newVolume(t)
	settings, err := v.e.Volume(t.Context())
	v.ok(err)
	settings.Sites[2] = meta.Site{ID: 2, Name: "b"}                  // registered, and never heard of
	settings.Sites[4] = meta.Site{ID: 4, Name: "near", Shares: true} // has no metadata that could be behind
	v.do(meta.Settings{Volume: settings})
	v.ok(v.e.Acknowledge(t.Context(), meta.MirrorState{Site: 3, Name: "c", Applied: meta.Position{Epoch: 1, Seq: 1 << 40}}))
	ino := v.file("f", block)
	before, err := v.e.State(t.Context())
	v.ok(err)

	reader := v.e.Client()
	v.ok(reader.StartSession(t.Context(), meta.SessionInfo{}))
	v.ok(reader.Heartbeat(t.Context(), []meta.Ino{ino}))
	v.unlink("f")
	v.pass(trash + time.Second)
	v.ok(reader.Heartbeat(t.Context(), []meta.Ino{ino}))
	if r := v.run(v.options()); r.Orphans.Open != 1 || r.Orphans.Purged != 0 {
		t.Errorf("while a client has the file open: %+v", r)
	}
	v.ok(reader.Heartbeat(t.Context(), nil))
	if r := v.run(v.options()); r.Orphans.Purged != 1 {
		t.Errorf("when nobody has it open: %+v", r)
	}
	freed, err := v.e.State(t.Context())
	v.ok(err)

	v.pass(1000 * time.Hour)
	held := func(why string, by ...string) {
		t.Helper()
		r := v.run(v.options())
		if slices.Sort(r.Freed.Waiting); r.Freed.Held.Objects != 1 || !slices.Equal(r.Freed.Waiting, by) || r.Freed.Deleted.Objects != 0 {
			t.Errorf("%s: %+v", why, r.Freed)
		}
		v.holds(chunk.Key(1, 1, 0))
	}
	applied := func(site uint8, name string, at meta.Position) {
		t.Helper()
		v.ok(v.e.Acknowledge(t.Context(), meta.MirrorState{Site: site, Name: name, Applied: at}))
	}
	held("a mirror that never acknowledged", "b")
	applied(2, "b", before.Position)
	held("a mirror that is behind", "b")
	applied(2, "b", freed.Position)
	applied(3, "c", before.Position)
	held("another mirror that is behind", "c")
	applied(3, "c", freed.Position)
	settings.Holds = map[string]meta.Hold{"restored": {Position: before.Position}, "newer": {Position: freed.Position}}
	v.do(meta.Settings{Volume: settings})
	held("a volume that was restored from it", "hold restored")
	delete(settings.Holds, "restored")
	v.do(meta.Settings{Volume: settings})
	if r := v.run(v.options()); r.Freed.Deleted.Objects != 1 {
		t.Errorf("when all have passed: %+v", r)
	}
	v.holds()
}

// TestManyAtOnce: what many clients do at the same time is done exactly once, and
// counted once.
func TestManyAtOnce(t *testing.T) {
	const files, clients = 300, 8
	for _, yield := range []bool{false, true} {
		t.Run(fmt.Sprintf("yield=%v", yield), func(t *testing.T) {
			v := newVolume(t)
			for i := range files {
				v.file(fmt.Sprint(i), block+i)
				v.unlink(fmt.Sprint(i))
			}
			total := func() (sum reclaim.Report) {
				reports := make([]reclaim.Report, clients)
				var all sync.WaitGroup
				for i := range clients {
					client := v.e.Client()
					v.ok(client.StartSession(t.Context(), meta.SessionInfo{}))
					opts := v.options()
					opts.Meta, opts.Yield = client, yield
					all.Go(func() { reports[i] = v.run(opts) })
				}
				all.Wait()
				for _, r := range reports {
					sum.Orphans.Purged += r.Orphans.Purged
					sum.Freed.Deleted.Objects += r.Freed.Deleted.Objects
					sum.Freed.Deleted.Bytes += r.Freed.Deleted.Bytes
				}
				return sum
			}
			v.pass(trash + time.Second)
			if got := total().Orphans.Purged; got != files {
				t.Errorf("of %d files %d were purged", files, got)
			}
			v.pass(grace + time.Second)
			want := reclaim.Amount{Objects: 2*files - 1, Bytes: files*block + files*(files-1)/2}
			if got := total().Freed.Deleted; got != want {
				t.Errorf("deleted %+v, want %+v", got, want)
			}
			v.holds()
		})
	}
}

// failing is a bucket whose deletions fail after some.
type failing struct {
	object.Store
	mu   sync.Mutex
	left int
}

func (f *failing) Delete(ctx context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return errors.New("the program was killed here")
	}
	return f.Store.Delete(ctx, key)
}

// TestGoesOnAfterACrash at any point: nothing is forgotten whose blocks are there.
func TestGoesOnAfterACrash(t *testing.T) {
	v := newVolume(t)
	for i := range 20 {
		v.file(fmt.Sprint(i), 2*block)
		v.unlink(fmt.Sprint(i))
	}
	v.pass(trash + time.Second)
	v.run(v.options())
	v.pass(grace + time.Second)
	for crashes := 0; ; crashes++ {
		opts := v.options()
		opts.Blocks = &failing{Store: v.bucket, left: 7 * crashes}
		r := v.reclaimer(opts)
		err := r.Freed(t.Context())
		left := map[uint64]bool{}
		rows, listErr := v.e.Freed(t.Context(), meta.Freed{}, v.clock(), 1000)
		v.ok(listErr)
		for _, row := range rows {
			left[row.Slices[0].ID] = true
		}
		for _, key := range v.keys() {
			if _, slice, _, _ := chunk.ParseKey(key); !left[slice] {
				t.Fatalf("block %s is there, and its slice is forgotten", key)
			}
		}
		if err == nil {
			if crashes < 3 {
				t.Errorf("only %d crashes", crashes)
			}
			v.holds()
			return
		}
	}
}

// TestLeaked tells blocks that nobody knows from those that somebody may need.
func TestLeaked(t *testing.T) {
	v := newVolume(t)
	v.file("f", block)
	v.file("freed", block)
	v.unlink("freed")
	v.pass(trash + time.Second)
	v.run(v.options())
	state, err := v.e.State(t.Context())
	v.ok(err)
	v.put(50, 2*block) // reserved, never committed
	v.put(state.NextSlice, block)
	for _, key := range []string{"volume.json", "probe/1", "README", "data/1/00/1-0", "data/x"} {
		v.ok(v.bucket.Put(t.Context(), key, []byte("?")))
	}
	before := v.keys()
	run := func(opts reclaim.Options, age time.Duration) reclaim.LeakReport {
		t.Helper()
		r := v.reclaimer(opts)
		v.ok(r.Leaked(t.Context(), v.bucket, age))
		return r.Report().Leaked
	}
	two := reclaim.Amount{Objects: 2, Bytes: 2 * block}
	if r := run(v.options(), 1000*time.Hour); r.Young != two || r.Leaked.Objects != 0 || len(v.keys()) != len(before) {
		t.Errorf("young blocks: %+v", r)
	}
	v.pass(24 * time.Hour)
	dry := v.options()
	dry.DryRun = true
	if r := run(dry, time.Hour); r.Leaked != two || r.Deleted.Objects != 0 || r.Ahead.Objects != 1 || r.Foreign.Objects != 3 || r.Listed.Objects != int64(len(before)) {
		t.Errorf("a dry run: %+v", r)
	}
	if r := run(v.options(), time.Hour); r.Deleted != two || !slices.Equal(r.ForeignNames, []string{"README", "data/1/00/1-0", "data/x"}) {
		t.Errorf("leaked: %+v", r)
	}
	v.holds(slices.DeleteFunc(before, func(key string) bool { return key == chunk.Key(1, 50, 0) || key == chunk.Key(1, 50, 1) })...)
}

// TestLeakedHeedsMirrorsThatKnowMore: after a source lost changes, its mirror may read
// blocks that the source does not know.
func TestLeakedHeedsMirrorsThatKnowMore(t *testing.T) {
	v := newVolume(t)
	v.put(50, block)
	v.pass(48 * time.Hour)
	for _, m := range []meta.MirrorState{{Site: 2, Name: "b", State: "stalled"}, {Site: 2, Name: "b", State: "following", Applied: meta.Position{Epoch: 1, Seq: 1 << 40}}} {
		v.ok(v.e.Acknowledge(t.Context(), m))
		if err := v.reclaimer(v.options()).Leaked(t.Context(), v.bucket, time.Hour); err == nil {
			t.Errorf("with a mirror %+v it went on", m)
		}
	}
	v.holds(chunk.Key(1, 50, 0))
}

// TestRestoreOrPurge: what was given back is not purged, whoever meant to.
func TestRestoreOrPurge(t *testing.T) {
	v := newVolume(t)
	ino := v.file("f", block)
	v.unlink("f")
	o, err := v.e.Orphan(t.Context(), ino)
	v.ok(err)
	v.pass(trash + time.Second)
	v.do(meta.Restore{Orphan: o, Parent: meta.RootIno, Name: "back"})
	v.pass(1000 * time.Hour)
	if r := v.run(v.options()); r.Orphans.Due != 0 || r.Freed.Due.Objects != 0 {
		t.Errorf("after a restore: %+v", r)
	}
	v.holds(chunk.Key(1, 1, 0))
	if _, err := v.e.Change(t.Context(), meta.Purge{Orphan: o}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("purging what was restored: %v", err)
	}
}
