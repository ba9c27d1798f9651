package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/replicate"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// bucket counts what is asked of it, and can be cut off, or fail for one key.
type bucket struct {
	*mem.Store
	gets, puts atomic.Int64
	down       atomic.Bool
	// delay is how long a Get takes to begin; before it is called first.
	hold chan struct{} // Get waits until it is closed, if not nil

	mu      sync.Mutex
	missing map[string]bool
}

func newBucket(name string) *bucket { return &bucket{Store: mem.New(name), missing: map[string]bool{}} }

var errDown = errors.New("connection refused")

func (b *bucket) fails(key string) error {
	if b.down.Load() {
		return errDown
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missing[key] {
		return object.Fail("get", key, object.ErrNotExist)
	}
	return nil
}

// lose makes the bucket deny that it has a key, or not.
func (b *bucket) lose(key string, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing[key] = lost
}

func (b *bucket) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b.gets.Add(1)
	if b.hold != nil {
		<-b.hold
	}
	if err := b.fails(key); err != nil {
		return nil, err
	}
	return b.Store.Get(ctx, key, off, n)
}

func (b *bucket) Head(ctx context.Context, key string) (object.Info, error) {
	if err := b.fails(key); err != nil {
		return object.Info{}, err
	}
	return b.Store.Head(ctx, key)
}

func (b *bucket) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if b.down.Load() {
		return errDown
	}
	b.puts.Add(1)
	return b.Store.PutIfAbsent(ctx, key, data)
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	if b.down.Load() {
		return errDown
	}
	return b.Store.Delete(ctx, key)
}

// keys lists a bucket's blocks.
func (b *bucket) keys(t testing.TB) []string {
	t.Helper()
	list, err := b.List(t.Context(), "data/", "", object.MaxListed)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return keys
}

// kept is a bucket that outlives who closes it.
type kept struct{ *bucket }

func (kept) Close() error { return nil }

// dataWorld is a world whose sites have buckets, one object to a slice.
type dataWorld struct {
	*world
	one, two *bucket // of the source and the mirror
	e        meta.Engine
}

func dataKey(s meta.Slice) string { return fmt.Sprintf("data/%d/%02x/%d-0", s.Home, s.ID%256, s.ID) }

// withData gives a world buckets, and a client of the source.
func withData(t testing.TB, w *world, e meta.Engine) *dataWorld {
	return &dataWorld{world: w, one: newBucket("home"), two: newBucket("away"), e: session(t, e)}
}

// dataWorlds runs a test on sites in memory and on sites in Redis.
func dataWorlds(t *testing.T, test func(t *testing.T, d *dataWorld)) {
	t.Run("model", func(t *testing.T) {
		source := model.New(settings("volume-1"), nil)
		test(t, withData(t, worldOf(source, model.NewReplica(nil)), source.Client()))
	})
	t.Run("redis", func(t *testing.T) {
		s := redisWorldAt(t, redis.Options{}) // with a server's patience: the machine may be slow
		test(t, withData(t, s.world, s.local(t)))
	})
}

func (d *dataWorld) addMode(t testing.TB, opts mirror.AddOptions) mirror.Info {
	t.Helper()
	opts.SourceAddress, opts.Name = "redis://source/0", "away"
	if opts.Mode != mirror.ModeDemand {
		opts.Bucket = "mem://away"
	}
	info, err := mirror.Add(t.Context(), d.source, d.near, opts)
	if err != nil {
		t.Fatalf("add: %v", err)
	}
	return info
}

// data is a runner's config with data.
func (d *dataWorld) data(t testing.TB) mirror.Config {
	cfg := d.config(t)
	cfg.Data = &mirror.DataConfig{
		Site: d.nearClient().(mirror.DataSite),
		Open: func(_ context.Context, s meta.Site) (object.Store, error) {
			if s.ID == 1 {
				return kept{d.one}, nil
			}
			return kept{d.two}, nil
		},
		Objects: func(s meta.Slice, _ int) []replicate.Object {
			return []replicate.Object{{Key: dataKey(s), Bytes: int64(s.Size)}}
		},
		Interval: 10 * time.Millisecond, RetryInterval: 20 * time.Millisecond, ClaimTTL: time.Minute, Logger: cfg.Logger,
	}
	return cfg
}

// write makes a file of one slice as a client does: the data, then the metadata.
func (d *dataWorld) write(t testing.TB, parent meta.Ino, name string, home uint8) meta.Slice {
	t.Helper()
	ino := change(t, d.e, file(parent, name)).Node.Ino
	first := change(t, d.e, meta.Reserve{Count: 1}).FirstSlice
	s := meta.Slice{ID: first, Home: home, Size: 100}
	to := d.one
	if home == 2 {
		to = d.two
	}
	put(t, to.Store, dataKey(s), content(s))
	change(t, d.e, meta.Commit{Ino: ino, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Len: s.Size, Slice: s.ID, Home: home, Size: s.Size}}}}})
	return s
}

// content is what the object of a slice holds.
func content(s meta.Slice) string {
	return strings.Repeat(fmt.Sprintf("%09d ", s.ID), 10)[:s.Size]
}

// complete waits until the mirror has all data that the source had when it was asked.
func (d *dataWorld) complete(t testing.TB) {
	t.Helper()
	head, err := d.source.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all data at the mirror", func() bool {
		st := d.seen(t)
		return !st.Data.CompleteTo.Before(head.Position) && !st.Data.BackTo.Before(head.Position)
	})
}

// seen is what status says at the mirror, or nothing while its metadata is being emptied
// for the first copy.
func (d *dataWorld) seen(t testing.TB) mirror.Status {
	t.Helper()
	st, err := mirror.GetStatus(t.Context(), d.near, mirror.StatusOptions{})
	if err != nil && !errors.Is(err, meta.ErrNoVolume) {
		t.Fatal(err)
	}
	return st
}

func (d *dataWorld) mustHave(t testing.TB, b *bucket, slices ...meta.Slice) {
	t.Helper()
	for _, s := range slices {
		if got, err := get(t, b.Store, dataKey(s), 0, -1); err != nil || got != content(s) {
			t.Errorf("%s has of slice %d: %q, %v", b, s.ID, got, err)
		}
	}
}
