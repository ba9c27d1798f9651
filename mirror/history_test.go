package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
)

// subject is what a read tells about: an inode (no name) or an entry.
type subject struct {
	ino  meta.Ino
	name string
}

// version is what a subject was from a record on: an attribute, a child, or gone.
type version struct {
	attr  *meta.Attr
	child meta.Ino
}

func (v version) equal(o version) bool {
	if v.attr == nil || o.attr == nil {
		return v.attr == o.attr && v.child == o.child
	}
	return reflect.DeepEqual(*v.attr, *o.attr)
}

func (v version) String() string {
	if v.attr != nil {
		return fmt.Sprintf("%+v", *v.attr)
	}
	return fmt.Sprintf("inode %d", v.child)
}

// observation is one read, or the outcome of one change, by a mount. It began
// after the observations before `after` were complete.
type observation struct {
	after int
	what  string
	sees  map[subject]version
}

// observer notes what a mount has seen, in the order in which it was complete.
type observer struct {
	mu  sync.Mutex
	all []observation
}

func (o *observer) begin() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}

func (o *observer) end(after int, what string, sees map[subject]version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, observation{after: after, what: what, sees: sees})
}

// history gives all versions of all subjects, in order, from the source's log.
func history(t testing.TB, s meta.Source) map[subject][]version {
	t.Helper()
	h := map[subject][]version{{ino: meta.RootIno}: {}}
	var at meta.Position
	for {
		entries, err := s.Tail(t.Context(), at, 1000, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return h
		}
		for _, e := range entries {
			rec, err := meta.DecodeRecord(e.Raw)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rec.Effects {
				f := &rec.Effects[i]
				switch f.Kind {
				case meta.EffectInode:
					h[subject{ino: f.Ino}] = append(h[subject{ino: f.Ino}], version{attr: &f.Attr})
				case meta.EffectInodeGone:
					h[subject{ino: f.Ino}] = append(h[subject{ino: f.Ino}], version{})
				case meta.EffectEntry:
					k := subject{f.Parent, f.Name}
					h[k] = append(h[k], version{child: f.Ino})
				case meta.EffectEntryGone:
					k := subject{f.Parent, f.Name}
					h[k] = append(h[k], version{})
				default:
				}
			}
			at = e.Position
		}
	}
}

// check fails when an observation cannot be explained by versions that are not
// older than those seen by any observation that was complete before it began.
func (o *observer) check(t testing.TB, h map[subject][]version) {
	t.Helper()
	// seen[i] is the index of the version that observation i saw of each subject.
	seen := make([]map[subject]int, len(o.all))
	for i := range o.all {
		seen[i] = map[subject]int{}
		for k, v := range o.all[i].sees {
			least, by := -1, -1 // -1: never existed
			for j := range o.all[i].after {
				if at, ok := seen[j][k]; ok && at > least {
					least, by = at, j
				}
			}
			at := find(h[k], least, v)
			if at < -1 {
				t.Errorf("%s saw %v as %v, after %s had seen version %d of %d: %v", o.all[i].what, k, v, name(o.all, by), least, len(h[k]), versionAt(h[k], least))
				return
			}
			seen[i][k] = at
		}
	}
}

func name(all []observation, i int) string {
	if i < 0 {
		return "nobody"
	}
	return all[i].what
}

func versionAt(versions []version, i int) version {
	if i < 0 {
		return version{}
	}
	return versions[i]
}

// find gives the first version from least on that is v; -1 is the time before the
// first, -2 none.
func find(versions []version, least int, v version) int {
	for i := least; i < len(versions); i++ {
		if v.equal(versionAt(versions, i)) {
			return i
		}
	}
	return -2
}

// visitor is one thread of a mount that changes and reads among a few names.
type visitor struct {
	e    meta.Engine
	rng  *rand.Rand
	o    *observer
	dirs []meta.Ino
	inos []meta.Ino
}

func (v *visitor) name() string { return fmt.Sprint("n", v.rng.IntN(4)) }

// step does one thing. EIO is no answer and tells nothing.
func (v *visitor) step(ctx context.Context) error {
	d, name := pick(v.rng, v.dirs), v.name()
	after := v.o.begin()
	sees := map[subject]version{}
	var what string
	var err error
	switch v.rng.IntN(8) {
	case 0, 1:
		what, err = v.change(ctx, d, name, sees)
	case 2, 3:
		what = fmt.Sprintf("lookup %d %s", d, name)
		err = v.lookup(ctx, d, name, sees)
	case 4, 5:
		ino := pick(v.rng, v.inos)
		what = fmt.Sprintf("getattr %d", ino)
		var n meta.Node
		if n, err = v.e.GetAttr(ctx, ino); err == nil {
			sees[subject{ino: ino}] = version{attr: &n.Attr}
		} else if errors.Is(err, syscall.ENOENT) {
			sees[subject{ino: ino}], err = version{}, nil
		}
	case 6:
		what = fmt.Sprintf("readdir %d", d)
		err = v.readdir(ctx, d, sees)
	default:
		what = fmt.Sprintf("resolve %d %s", d, name)
		var nodes []meta.Node
		nodes, err = v.e.Resolve(ctx, d, name)
		v.found(subject{d, name}, nodes, &err, sees)
	}
	if err != nil && meta.Errno(err) != syscall.EIO {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err == nil {
		v.o.end(after, what, sees)
	}
	return nil
}

func (v *visitor) change(ctx context.Context, d meta.Ino, name string, sees map[subject]version) (string, error) {
	var c meta.Change
	switch v.rng.IntN(4) {
	case 0:
		c = file(d, name)
	case 1:
		c = meta.Unlink{Parent: d, Name: name}
	case 2:
		c = meta.SetAttr{Ino: pick(v.rng, v.inos), Set: meta.SetMode, Mode: uint32(v.rng.IntN(0o1000))}
	default:
		c = meta.Rename{OldParent: d, OldName: name, NewParent: pick(v.rng, v.dirs), NewName: v.name()}
	}
	what := fmt.Sprintf("%s %+v", c.Op(), c)
	res, err := v.e.Change(ctx, c)
	if err != nil {
		if errors.Is(err, meta.ErrUnreachable) {
			return what, syscall.EIO // perhaps made
		}
		var refused *meta.Error
		if errors.As(err, &refused) {
			return what, nil // says nothing that this test could use
		}
		return what, err
	}
	for i := range res.Effects {
		f := &res.Effects[i]
		switch f.Kind {
		case meta.EffectInode:
			sees[subject{ino: f.Ino}] = version{attr: &f.Attr}
			if !f.Attr.IsDir() {
				v.inos[v.rng.IntN(len(v.inos))] = f.Ino
			}
		case meta.EffectEntry:
			sees[subject{f.Parent, f.Name}] = version{child: f.Ino}
		case meta.EffectEntryGone:
			sees[subject{f.Parent, f.Name}] = version{}
		default:
		}
	}
	return what, nil
}

func (v *visitor) lookup(ctx context.Context, d meta.Ino, name string, sees map[subject]version) error {
	n, err := v.e.Lookup(ctx, d, name)
	v.found(subject{d, name}, []meta.Node{n}, &err, sees)
	return err
}

// found notes a name that was found, or was not.
func (v *visitor) found(k subject, nodes []meta.Node, err *error, sees map[subject]version) {
	switch {
	case *err == nil && len(nodes) == 1:
		n := nodes[0]
		sees[k] = version{child: n.Ino}
		sees[subject{ino: n.Ino}] = version{attr: &n.Attr}
	case errors.Is(*err, syscall.ENOENT):
		sees[k], *err = version{}, nil
	}
}

func (v *visitor) readdir(ctx context.Context, d meta.Ino, sees map[subject]version) error {
	p, err := v.e.ReadDir(ctx, d, "", 100)
	if err != nil {
		return err
	}
	for i := range 4 {
		sees[subject{d, fmt.Sprint("n", i)}] = version{}
	}
	for i := range p.Entries {
		n := &p.Entries[i].Node
		sees[subject{d, p.Entries[i].Name}] = version{child: n.Ino}
		sees[subject{ino: n.Ino}] = version{attr: &n.Attr}
	}
	return nil
}

// visit has threads of one mount and a client of the source work on the same few
// names, and checks that the mount never saw anything older than before.
func (w *world) visit(t *testing.T, e meta.Engine, rng *rand.Rand, threads, steps int) {
	t.Helper()
	other := session(t, mustClient(t, w))
	dirs := []meta.Ino{meta.RootIno, change(t, other, dir(meta.RootIno, "d")).Node.Ino}
	first := change(t, other, file(meta.RootIno, "n0")).Node.Ino
	w.wait(t)

	var o, elsewhere observer
	var group sync.WaitGroup
	for i := range threads + 1 {
		v := &visitor{e: e, rng: rand.New(rand.NewPCG(rng.Uint64(), 4)), o: &o, dirs: dirs, inos: []meta.Ino{first, first, first}}
		if i == threads {
			v.e, v.o = other, &elsewhere
		}
		group.Go(func() {
			for range steps {
				if err := v.step(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	h := history(t, w.source)
	t.Logf("%d observations here, %d at the source", len(o.all), len(elsewhere.all))
	elsewhere.check(t, h) // the test itself is right
	o.check(t, h)
}

// lazyReplica applies after a while, so that the mirror lags by chance.
type lazyReplica struct {
	meta.Replica
	mu  sync.Mutex
	rng *rand.Rand
	max time.Duration
}

func (r *lazyReplica) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	r.mu.Lock()
	d := time.Duration(0)
	if r.rng.IntN(3) > 0 {
		d = time.Duration(r.rng.Int64N(int64(r.max)))
	}
	r.mu.Unlock()
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return from, ctx.Err()
		}
	}
	return r.Replica.Apply(ctx, from, entries, target)
}
