package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// Ten clients of a site, each a process of its own, read one block at once: it crosses
// the link once. Then it is near.
func TestKeepCrossesOnce(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		s := meta.Slice{ID: 10, Home: 1, Size: 100}
		put(t, d.one.Store, dataKey(s), content(s))
		d.one.hold = make(chan struct{})
		var all sync.WaitGroup
		var arrived atomic.Int64
		var stores []*mirror.Store
		for range 10 {
			stores = append(stores, mustStore(t, mirror.StoreOptions{
				Near: kept{d.two}, Homes: map[uint8]object.Store{1: kept{d.one}, 2: kept{d.two}}, Source: 1,
				Keep: &mirror.KeepOptions{Claims: d.nearClient().(meta.Claims), ClaimTTL: patience},
			}))
		}
		for i, store := range stores {
			all.Go(func() {
				arrived.Add(1)
				got, err := get(t, store, dataKey(s), int64(i), 50)
				if err != nil || got != content(s)[i:i+50] {
					t.Errorf("client %d read %q, %v", i, got, err)
				}
			})
		}
		until(t, "one is fetching, and the others look near", func() bool { return d.one.gets.Load() > 0 && d.two.gets.Load() > 30 })
		close(d.one.hold)
		all.Wait()
		for _, store := range stores {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := d.one.gets.Load(); n != 1 {
			t.Errorf("the block crossed %d times", n)
		}
		d.mustHave(t, d.two, s)
		if n := d.two.puts.Load(); n != 1 {
			t.Errorf("it was stored %d times", n)
		}
	})
}

// Who fetches a block dies, or its fetch fails: another one does it.
func TestKeepOutlivesWhoFetches(t *testing.T) {
	w := modelWorld(t)
	claims := w.nearClient().(meta.Claims)
	one, two := newBucket("one"), newBucket("two")
	s := meta.Slice{ID: 10, Home: 1, Size: 100}
	put(t, one.Store, dataKey(s), content(s))
	if has, err := claims.Claim(t.Context(), dataKey(s), "one that died", 50*time.Millisecond); !has || err != nil {
		t.Fatal(has, err)
	}
	store := mustStore(t, mirror.StoreOptions{
		Near: two, Homes: map[uint8]object.Store{1: one, 2: two}, Source: 1, Keep: &mirror.KeepOptions{Claims: claims, ClaimTTL: patience},
	})
	if got, err := get(t, store, dataKey(s), 0, -1); err != nil || got != content(s) {
		t.Errorf("read %q, %v", got, err)
	}
	until(t, "kept", func() bool { return len(two.keys(t)) == 1 })

	// Wrong bytes are given to who can tell, and not kept; nor does a bucket here that is
	// down stop a read.
	bad := meta.Slice{ID: 11, Home: 1, Size: 100}
	put(t, one.Store, dataKey(bad), "wrong")
	checking := mustStore(t, mirror.StoreOptions{
		Near: two, Homes: map[uint8]object.Store{1: one, 2: two}, Source: 1, Keep: &mirror.KeepOptions{
			Claims: claims,
			Check: func(_ string, data []byte) error {
				if bytes.Equal(data, []byte("wrong")) {
					return errors.New("wrong bytes")
				}
				return nil
			},
		},
	})
	if got, err := get(t, checking, dataKey(bad), 0, -1); err != nil || got != "wrong" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := checking.Close(); err != nil {
		t.Error(err)
	}
	if len(two.keys(t)) != 1 {
		t.Error("wrong bytes were kept")
	}
	two.down.Store(true)
	if got, err := get(t, store, dataKey(s), 0, -1); err != nil || got != content(s) {
		t.Errorf("with the near bucket down: %q, %v", got, err)
	}
}

// A store that keeps is a store like any other.
func TestKeepingStoreNeedsANearBucket(t *testing.T) {
	one := mem.New("one")
	_, err := mirror.NewStore(mirror.StoreOptions{Homes: map[uint8]object.Store{1: one}, Source: 1, Keep: &mirror.KeepOptions{}})
	if err == nil {
		t.Error("made without a near bucket")
	}
}

// A site that shares the source's metadata: what is written there and what is written at
// the source comes into both buckets, and it is removed when nothing is there alone.
func TestNearBucket(t *testing.T) {
	dataWorlds(t, func(t *testing.T, d *dataWorld) {
		all := []meta.Slice{d.write(t, meta.RootIno, "before", 1)}
		var joining sync.WaitGroup
		for range 3 { // mounts of the site that start at once
			joining.Go(func() {
				if s, err := mirror.AddNear(t.Context(), d.source, "rack", "mem://away"); err != nil || s.ID != 2 {
					t.Errorf("add: %+v, %v", s, err)
				}
			})
		}
		joining.Wait()
		for name, bucket := range map[string]string{"rack": "mem://other", "home": "mem://other", "other": "mem://away", "": "mem://other"} {
			if _, err := mirror.AddNear(t.Context(), d.source, name, bucket); err == nil {
				t.Errorf("site %q was added with %s", name, bucket)
			}
		}
		if _, err := mirror.Add(t.Context(), d.source, d.near, mirror.AddOptions{SourceAddress: "redis://source/0", Name: "rack"}); err == nil {
			t.Error("a mirror took the site's name")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		cfg := *d.data(t).Data
		cfg.Site = d.source.(mirror.DataSite)
		go func() { done <- mirror.RunNear(ctx, 1, cfg) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}()
		all = append(all, d.write(t, meta.RootIno, "a", 1), d.write(t, meta.RootIno, "b", 2))
		until(t, "all data in both buckets", func() bool {
			st, err := mirror.GetStatus(t.Context(), d.source, mirror.StatusOptions{})
			if err != nil || len(st.Mirrors) != 1 || st.Mirrors[0].Role != "near" {
				t.Fatalf("status: %+v, %v", st, err)
			}
			data := st.Mirrors[0].Data
			return data.CompleteTo == st.Position && data.BackTo == st.Position
		})
		d.mustHave(t, d.one, all...)
		d.mustHave(t, d.two, all...)

		d.one.down.Store(true)
		late := d.write(t, meta.RootIno, "c", 2)
		short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		if _, err := mirror.RemoveNear(short, d.source, "rack"); err == nil {
			t.Error("removed with data only there")
		}
		d.one.down.Store(false)
		if _, err := mirror.RemoveNear(t.Context(), d.source, "rack"); err != nil {
			t.Fatal(err)
		}
		d.mustHave(t, d.one, late)
		if v, err := d.source.Volume(t.Context()); err != nil || len(v.Sites) != 1 {
			t.Errorf("sites left: %+v, %v", v.Sites, err)
		}
		if _, err := mirror.RemoveNear(t.Context(), d.source, "rack"); err == nil {
			t.Error("removed twice")
		}
	})
}
