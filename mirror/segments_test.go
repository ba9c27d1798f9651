package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
	"mirrorfs/mirror/segments"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// keeper keeps the log of a world's source in segments.
type keeper struct {
	t        testing.TB
	w        *world
	bucket   object.Store
	archiver *segments.Archiver
	archive  *countedArchive
}

// countedArchive counts what was read from it.
type countedArchive struct {
	*segments.Archive
	segments, records atomic.Int64
}

func (a *countedArchive) Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	entries, err := a.Archive.Tail(ctx, after)
	if err == nil {
		a.segments.Add(1)
		a.records.Add(int64(len(entries)))
	}
	return entries, err
}

// keepLog makes the source keep its log, of which no more than some bytes stay in memory
// once they are in segments of about some bytes.
func (w *world) keepLog(t testing.TB, memory int64, segmentBytes int) *keeper {
	t.Helper()
	v, err := w.source.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v.LogKeep, v.LogBytes = time.Hour, memory
	change(t, w.source, meta.Settings{Volume: v})
	log, ok := w.source.(segments.Log)
	if !ok {
		t.Fatalf("%T is no log", w.source)
	}
	k := &keeper{t: t, w: w, bucket: mem.New("log")}
	if k.archiver, err = segments.NewArchiver(segments.Options{Log: log, Bucket: k.bucket, Bytes: segmentBytes}); err != nil {
		t.Fatal(err)
	}
	archive, err := segments.NewArchive(v.ID, k.bucket)
	if err != nil {
		t.Fatal(err)
	}
	k.archive = &countedArchive{Archive: archive}
	return k
}

// config is that of a runner that reads the segments.
func (k *keeper) config() mirror.Config {
	cfg := k.w.config(k.t)
	cfg.Archive = k.archive
	// Nothing is cut off here: a slow machine must not be taken for a lost link. And the
	// mirror's own log tells whether it was copied again.
	cfg.CallTimeout, cfg.KeepRecords = patience, 1<<30
	return cfg
}

// keep archives all of the log, and then trims it, but for the last records.
func (k *keeper) keep(records int) {
	k.t.Helper()
	if _, err := k.archiver.Flush(k.t.Context()); err != nil {
		k.t.Fatalf("archive: %v", err)
	}
	if _, err := k.w.source.TrimLog(k.t.Context(), records); err != nil {
		k.t.Fatalf("trim: %v", err)
	}
}

// reaches tells whether the source's log still has what follows the mirror.
func (k *keeper) reaches() bool {
	k.t.Helper()
	_, err := k.w.source.Tail(k.t.Context(), mustState(k.t, k.w.near).Position, 1, 0)
	if err != nil && !errors.Is(err, meta.ErrGap) {
		k.t.Fatal(err)
	}
	return err == nil
}

// write makes n changes below directories of a name, through several sessions at once.
func write(t testing.TB, open func() meta.Engine, name string, n int) {
	t.Helper()
	const writers = 4
	var all sync.WaitGroup
	for i := range writers {
		e := session(t, open())
		home := change(t, e, dir(meta.RootIno, fmt.Sprint(name, i))).Node.Ino
		all.Go(func() {
			for j := range n / writers {
				var c meta.Change = meta.SetAttr{Ino: home, Set: meta.SetMode, Mode: uint32(0o700 + j%64)}
				if j%4 == 0 {
					c = file(home, fmt.Sprint(j))
				}
				if _, err := e.Change(t.Context(), c); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A mirror that was cut off for many records, far more than the source keeps in memory,
// catches up from segments and then from the log. Nothing is copied again.
func TestCutOffMirrorCatchesUpFromSegments(t *testing.T) {
	n, memory, size := 20_000, int64(512<<10), 256<<10
	if os.Getenv("MIRRORFS_LONG") != "" {
		n, memory, size = 1_000_000, 16<<20, 4<<20
	}
	s := redisWorld(t)
	k := s.keepLog(t, memory, size)
	s.add(t)
	s.follows(t)
	before, copied := mustState(t, s.near2()).Position, firstInLog(t, s.world)

	begin := time.Now()
	for i := range 10 {
		write(t, func() meta.Engine { return s.local(t) }, fmt.Sprintf("part-%d-", i), n/10)
		k.keep(100)
	}
	wrote := time.Since(begin)
	if k.reaches() {
		t.Fatalf("the source's log still has what the mirror lacks: the test shows nothing")
	}
	first, err := s.source.LogStart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head := mustState(t, s.source).Position
	if inMemory := head.Seq - first.Position.Seq; inMemory > uint64(n)/2 {
		t.Errorf("%d of %d records are still in memory", inMemory, n)
	}

	begin = time.Now()
	start(t, k.config())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if _, err := mirror.Wait(ctx, s.source, s.near2()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	s.mustBeEqual(t)
	if again := firstInLog(t, s.world); again != copied {
		t.Errorf("the mirror's log begins at %s, and did at %s: it was copied again", again, copied)
	}
	lacked := int64(head.Seq - before.Seq)
	if got := k.archive.records.Load(); got < lacked/2 || got > lacked {
		t.Errorf("of %d records that it lacked, %d came from segments", lacked, got)
	}
	sum, err := k.archive.Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records written in %v, caught up in %v (%.0f a second), %d of them from %d of %d segments of %d bytes in all",
		lacked, wrote, took, float64(lacked)/took.Seconds(), k.archive.records.Load(), k.archive.segments.Load(), sum.Segments, sum.Bytes)
}

// A log whose limit is passed all the time while a mirror follows slowly: the mirror goes
// from the log to segments and back, and is never copied again. (Known from others: a full
// resync because a small backlog overflowed.)
func TestSmallBacklogNeedsNoResync(t *testing.T) {
	s := redisWorld(t)
	s.proxy.delay(5 * time.Millisecond)
	rng := seeded(t)
	k := s.keepLog(t, 1, 4<<10)
	s.add(t)
	s.follows(t)
	copied := firstInLog(t, s.world)
	cfg := k.config()
	cfg.TailRecords, cfg.ApplyRecords = 40, 10
	start(t, cfg)
	a, b := newChurn(session(t, s.local(t)), rng, "a"), newChurn(session(t, s.local(t)), rng, "b")
	for range 20 {
		a.run(t, 60)
		k.keep(0) // nothing is left in the log
		b.run(t, 20)
	}
	s.mustBeEqual(t)
	if again := firstInLog(t, s.world); again != copied {
		t.Errorf("the mirror's log begins at %s, and did at %s: it was copied again", again, copied)
	}
	if k.archive.segments.Load() == 0 {
		t.Error("nothing was read from segments: the test shows nothing")
	}
	if st := s.status(t); st.State != mirror.StateFollowing {
		t.Errorf("status: %+v", st)
	}
}

// cutOff is a mirror that lacks what is in segments only.
func cutOff(t *testing.T) (*world, *keeper) {
	t.Helper()
	w := modelWorld(t)
	k := w.keepLog(t, 1, 2000)
	w.add(t)
	stop := start(t, k.config())
	w.wait(t)
	stop()
	newChurn(session(t, w.nextClient(t)), seeded(t), "w").run(t, 300)
	k.keep(0)
	if k.reaches() {
		t.Fatal("the source's log still has what the mirror lacks")
	}
	return w, k
}

// nextClient opens the source once more.
func (w *world) nextClient(t testing.TB) meta.Engine {
	t.Helper()
	e, err := w.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// keys lists the segments.
func (k *keeper) keys() []string {
	k.t.Helper()
	list, err := k.bucket.List(k.t.Context(), "log/", "", object.MaxListed)
	if err != nil {
		k.t.Fatal(err)
	}
	var keys []string
	for i := range list {
		keys = append(keys, list[i].Key)
	}
	return keys
}

func (k *keeper) read(key string) []byte {
	k.t.Helper()
	r, err := k.bucket.Get(k.t.Context(), key, 0, -1)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	info, err := k.bucket.Head(k.t.Context(), key)
	if err != nil {
		k.t.Fatal(err)
	}
	b := make([]byte, info.Size)
	for n := 0; n < len(b); {
		m, err := r.Read(b[n:])
		if n += m; err != nil && n < len(b) {
			k.t.Fatal(err)
		}
	}
	return b
}

// stallsAt expects the mirror to stop with a reason, as of the state before a segment.
func (w *world) stallsAt(t *testing.T, reason string, before meta.Position) {
	t.Helper()
	until(t, "it stalls because "+reason, func() bool {
		st := w.status(t)
		return st.State == mirror.StateStalled && strings.Contains(st.Reason, reason)
	})
	if at := mustState(t, w.near).Position; at != before {
		t.Errorf("it stands at %s, not at %s", at, before)
	}
	if _, err := w.near.GetAttr(t.Context(), meta.RootIno); err != nil {
		t.Errorf("a read while stalled: %v", err)
	}
}

// endOf is the position of the last record of the segment before the nth.
func (k *keeper) endOf(nth int) meta.Position {
	k.t.Helper()
	d, err := segments.NewDecoder()
	if err != nil {
		k.t.Fatal(err)
	}
	s, err := d.Decode(k.read(k.keys()[nth]))
	if err != nil {
		k.t.Fatal(err)
	}
	return s.Entries[len(s.Entries)-1].Position
}

// Records that left the log and are in no segment stop a mirror exactly before them, and it
// goes on by itself when they are there again. (Known from others: a trimmed log gap passed
// over in silence.)
func TestTrimmedLogGapIsNotPassedOver(t *testing.T) {
	w, k := cutOff(t)
	keys := k.keys()
	gone := len(keys) - 3
	end, body := k.endOf(gone-1), k.read(keys[gone])
	if err := k.bucket.Delete(t.Context(), keys[gone]); err != nil {
		t.Fatal(err)
	}
	start(t, k.config())
	w.stallsAt(t, "no segment in its bucket has them", end)
	if err := k.bucket.Put(t.Context(), keys[gone], body); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual(t)
}

func TestDamagedSegmentStopsTheMirror(t *testing.T) {
	w, k := cutOff(t)
	keys := k.keys()
	bad := len(keys) - 3
	end, body := k.endOf(bad-1), k.read(keys[bad])
	if err := k.bucket.Put(t.Context(), keys[bad], append([]byte("x"), body[1:]...)); err != nil {
		t.Fatal(err)
	}
	start(t, k.config())
	w.stallsAt(t, keys[bad]+" is damaged", end)
	if err := k.bucket.Put(t.Context(), keys[bad], body); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual(t)
}

// Without an archive, a mirror that lacks what was trimmed says so.
func TestNoArchiveStalls(t *testing.T) {
	w, k := cutOff(t)
	before := mustState(t, w.near).Position
	cfg := k.config()
	cfg.Archive = nil
	start(t, cfg)
	w.stallsAt(t, "trimmed or lost", before)
}

// A mirror that is removed frees the log at once.
func TestRemovedMirrorFreesTheLog(t *testing.T) {
	s := redisWorld(t)
	s.add(t)
	s.follows(t)
	write(t, func() meta.Engine { return s.local(t) }, "dir-", 10_400)
	if _, err := s.source.TrimLog(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	first := func() meta.Position {
		e, err := s.source.LogStart(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return e.Position
	}
	held := first()
	if _, err := mirror.Remove(t.Context(), s.source, s.near2()); err != nil {
		t.Fatal(err)
	}
	if head := mustState(t, s.source).Position; held.Seq > 100 || first().Seq != head.Seq-10_000+1 {
		t.Errorf("the log began at %s and begins at %s, the head is %s", held, first(), head)
	}
}
