package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// twoSites is a mirror that stands still unless a test moves it, and an engine of
// one of its clients.
type twoSites struct {
	*world
	wan *wan
	e   *mirror.Engine
}

// stillMirror makes a complete mirror without a runner.
func stillMirror(t testing.TB, opts mirror.EngineOptions) *twoSites {
	t.Helper()
	w := modelWorld(t)
	w.add(t)
	stop := start(t, w.config(t))
	w.wait(t)
	stop()
	s := &twoSites{world: w, wan: &wan{}}
	opts.Near = w.nearClient()
	opts.Dial = func(ctx context.Context) (meta.Engine, error) {
		if err := s.wan.cross(ctx); err != nil {
			return nil, err
		}
		far, err := w.client(ctx)
		return &farEngine{Engine: far, w: s.wan}, err
	}
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = time.Second
	}
	if opts.ChangeTimeout == 0 {
		opts.ChangeTimeout = time.Second
	}
	var err error
	if s.e, err = mirror.NewEngine(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.e.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// catchUp applies all that the source has.
func (s *twoSites) catchUp(t testing.TB) {
	t.Helper()
	here := mustState(t, s.near)
	entries, err := s.source.Tail(t.Context(), here.Position, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.near.Apply(t.Context(), here, entries, meta.Position{}); err != nil {
		t.Fatal(err)
	}
}

func TestForwardIsOneRoundTrip(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	d := change(t, s.e, dir(meta.RootIno, "d")).Node.Ino
	f := change(t, s.e, file(d, "f")).Node.Ino
	extent := meta.Extent{Len: 10, Slice: 1, Home: 1, Size: 10}
	for _, c := range []meta.Change{
		file(d, "g"),
		dir(d, "sub"),
		meta.Make{Parent: d, Name: "fifo", Mode: meta.TypeFifo | 0o600},
		meta.Make{Parent: d, Name: "l", Mode: meta.TypeSymlink | 0o777, Target: "f"},
		meta.Link{Ino: f, Parent: d, Name: "h"},
		meta.SetAttr{Ino: f, Set: meta.SetMode, Mode: 0o600},
		meta.Reserve{Count: 10},
		meta.Commit{Ino: f, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{extent}}}},
		meta.SetXattr{Ino: f, Name: "user.a", Value: []byte("v")},
		meta.RemoveXattr{Ino: f, Name: "user.a"},
		meta.Rename{OldParent: d, OldName: "h", NewParent: meta.RootIno, NewName: "h"},
		meta.Unlink{Parent: d, Name: "g"},
		meta.Rmdir{Parent: d, Name: "sub"},
	} {
		changes, reads, others := s.wan.changes.Load(), s.wan.reads.Load(), s.wan.others.Load()
		change(t, s.e, c)
		if n := s.wan.changes.Load() - changes; n != 1 {
			t.Errorf("%s took %d round trips", c.Op(), n)
		}
		if s.wan.reads.Load() != reads || s.wan.others.Load() != others {
			t.Errorf("%s asked the source more than to make the change", c.Op())
		}
	}
	orphans, err := s.source.(meta.Purger).Orphans(t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 10)
	if err != nil || len(orphans) != 2 {
		t.Fatalf("orphans: %v, %v", orphans, err)
	}
	before := s.wan.changes.Load()
	change(t, s.e, meta.Purge{Orphan: orphans[0]})
	if n := s.wan.changes.Load() - before; n != 1 {
		t.Errorf("purge took %d round trips", n)
	}
}

func TestPromise06ReadYourWrites(t *testing.T) {
	for _, way := range []string{"asking the source", "from memory or not at all", "after catching up"} {
		t.Run(way, func(t *testing.T) {
			s := stillMirror(t, mirror.EngineOptions{})
			session(t, s.e)
			made := makeThings(t, s.e)
			strict := true
			switch way {
			case "from memory or not at all":
				s.wan.cut(true)
				strict = false
			case "after catching up":
				s.wan.cut(true)
				s.catchUp(t)
			}
			made.check(t, s.e, strict)
			if strict {
				made.check(t, s.source, true) // the test itself is right
			}
		})
	}
}

// things is what a client has changed.
type things struct{ d, f, link, gone, sub meta.Ino }

func makeThings(t testing.TB, e meta.Engine) things {
	var m things
	m.d = change(t, e, dir(meta.RootIno, "d")).Node.Ino
	m.f = change(t, e, file(m.d, "old")).Node.Ino
	m.link = change(t, e, meta.Make{Parent: m.d, Name: "link", Mode: meta.TypeSymlink | 0o777, Target: "to"}).Node.Ino
	m.gone = change(t, e, file(m.d, "gone")).Node.Ino
	m.sub = change(t, e, dir(m.d, "sub")).Node.Ino
	change(t, e, meta.SetAttr{Ino: m.f, Set: meta.SetMode, Mode: 0o604})
	change(t, e, meta.Rename{OldParent: m.d, OldName: "old", NewParent: m.sub, NewName: "new"})
	change(t, e, meta.Unlink{Parent: m.d, Name: "gone"})
	change(t, e, meta.SetXattr{Ino: m.f, Name: "user.a", Value: []byte("v")})
	x := meta.Extent{Pos: 5, Len: 10, Slice: 77, Home: 1, Size: 10}
	change(t, e, meta.Commit{Ino: m.f, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{x}}}})
	return m
}

// check reads everything back. When not strict, EIO is an answer too.
func (m *things) check(t testing.TB, e meta.Reader, strict bool) {
	t.Helper()
	ctx := t.Context()
	ok := func(what string, err error) bool {
		t.Helper()
		if err == nil || !strict && errors.Is(err, syscall.EIO) {
			return err == nil
		}
		t.Errorf("%s: %v", what, err)
		return false
	}
	missing := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s: %v, want ENOENT", what, err)
		}
	}
	n, err := e.Lookup(ctx, m.sub, "new")
	if ok("lookup of the new name", err) && (n.Ino != m.f || n.Attr.Mode&0o777 != 0o604 || n.Attr.Size != 15 || n.Attr.Parent != m.sub) {
		t.Errorf("lookup of the new name gave %+v", n)
	}
	_, err = e.Lookup(ctx, m.d, "old")
	missing("lookup of the old name", err)
	_, err = e.Lookup(ctx, m.d, "gone")
	missing("lookup of the unlinked name", err)
	n, err = e.GetAttr(ctx, m.gone)
	if ok("getattr of the orphan", err) && n.Attr.Nlink != 0 {
		t.Errorf("getattr of the orphan gave %+v", n)
	}
	n, err = e.GetAttr(ctx, m.d)
	if ok("getattr of the directory", err) && (n.Attr.Size != 2 || n.Attr.Nlink != 3) {
		t.Errorf("getattr of the directory gave %+v", n)
	}
	n, err = e.Lookup(ctx, m.sub, "..")
	if ok("lookup of ..", err) && n.Ino != m.d {
		t.Errorf("lookup of .. gave %+v", n)
	}
	p, err := e.ReadDir(ctx, m.d, "", 100)
	if names := namesOf(p); ok("readdir", err) && !slices.Equal(names, []string{"link", "sub"}) {
		t.Errorf("readdir gave %q", names)
	}
	target, err := e.ReadLink(ctx, m.link)
	if ok("readlink", err) && target != "to" {
		t.Errorf("readlink gave %q", target)
	}
	_, chunks, err := e.Extents(ctx, m.f, 0, 1)
	if ok("extents", err) && (len(chunks) != 1 || chunks[0].Extents[len(chunks[0].Extents)-1].Slice != 77) {
		t.Errorf("extents gave %+v", chunks)
	}
	value, err := e.GetXattr(ctx, m.f, "user.a")
	if ok("getxattr", err) && string(value) != "v" {
		t.Errorf("getxattr gave %q", value)
	}
	list, err := e.ListXattr(ctx, m.f)
	if ok("listxattr", err) && !slices.Equal(list, []string{"user.a"}) {
		t.Errorf("listxattr gave %q", list)
	}
	nodes, err := e.Resolve(ctx, meta.RootIno, "d/sub/new")
	if ok("resolve", err) && (len(nodes) != 3 || nodes[2].Ino != m.f) {
		t.Errorf("resolve gave %+v", nodes)
	}
	u, err := e.StatFS(ctx)
	if ok("statfs", err) && strict && u.Inodes != 5 {
		t.Errorf("statfs gave %+v", u)
	}
}

func namesOf(p meta.Page) []string {
	var names []string
	for _, e := range p.Entries {
		names = append(names, e.Name)
	}
	return names
}

// What a client has seen at the source it must not see older here.
func TestPromise06NeverBackInTimeAfterAFarRead(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	other := session(t, mustClient(t, s.world))
	d := change(t, other, dir(meta.RootIno, "d")).Node.Ino
	s.catchUp(t)
	f := change(t, other, file(d, "f")).Node.Ino
	// A change by the client makes its next listing go to the source, where it
	// sees what the other has made.
	change(t, s.e, meta.SetAttr{Ino: d, Set: meta.SetMode, Mode: 0o700})
	p, err := s.e.ReadDir(t.Context(), d, "", 10)
	if err != nil || !slices.Equal(namesOf(p), []string{"f"}) {
		t.Fatalf("readdir gave %q, %v", namesOf(p), err)
	}
	if n, err := s.e.Lookup(t.Context(), d, "f"); err != nil || n.Ino != f {
		t.Errorf("lookup of what readdir gave: %+v, %v", n, err)
	}
	if n, err := s.e.GetAttr(t.Context(), f); err != nil || n.Attr.Mode != meta.TypeFile|0o644 {
		t.Errorf("getattr of what readdir gave: %+v, %v", n, err)
	}
	far := s.wan.reads.Load()
	s.catchUp(t)
	made := file(d, "near")
	change(t, other, made)
	for range 3 { // nothing of it is pending: reads stay near again
		p, err = s.e.ReadDir(t.Context(), d, "", 10)
	}
	if err != nil || len(p.Entries) != 1 || s.wan.reads.Load() != far {
		t.Errorf("after catching up, readdir gave %q, %v, and asked the source %d times", namesOf(p), err, s.wan.reads.Load()-far)
	}
}

// hooked calls a function between the answer to a listing or lookup and its return.
type hooked struct {
	meta.Engine
	hook func()
}

type hookedReader struct {
	meta.Reader
	hook func()
}

func (h *hooked) View(opts meta.ViewOptions) meta.Reader {
	return &hookedReader{Reader: h.Engine.View(opts), hook: h.hook}
}

func (r *hookedReader) ReadDir(ctx context.Context, d meta.Ino, after string, limit int) (meta.Page, error) {
	p, err := r.Reader.ReadDir(ctx, d, after, limit)
	r.hook()
	return p, err
}

func (r *hookedReader) Lookup(ctx context.Context, d meta.Ino, name string) (meta.Node, error) {
	n, err := r.Reader.Lookup(ctx, d, name)
	r.hook()
	return n, err
}

// While an old answer is on its way, another read sees this site catch up: that
// must not make the old answer pass for a new one.
func TestOldAnswerOvertakenByANewOne(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	other := session(t, mustClient(t, s.world))
	f := change(t, other, file(meta.RootIno, "f")).Node.Ino
	s.catchUp(t)
	var e *mirror.Engine
	var err error
	busy := false
	near := &hooked{Engine: s.nearClient(), hook: func() {
		if busy {
			return
		}
		busy = true
		s.catchUp(t)
		if n, err := e.GetAttr(t.Context(), meta.RootIno); err != nil || n.Ino != meta.RootIno {
			t.Errorf("getattr: %+v, %v", n, err)
		}
		busy = false
	}}
	if e, err = mirror.NewEngine(mirror.EngineOptions{Near: near, Dial: s.client}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	session(t, e)
	for i := range uint32(2) {
		change(t, e, meta.SetAttr{Ino: f, Set: meta.SetMode, Mode: 0o600 + i})
		var n meta.Node
		if i == 0 {
			n, err = e.Lookup(t.Context(), meta.RootIno, "f")
		} else {
			var p meta.Page
			if p, err = e.ReadDir(t.Context(), meta.RootIno, "", 10); err == nil {
				n = p.Entries[0].Node
			}
		}
		if err != nil || n.Attr.Mode&0o777 != 0o600+i {
			t.Errorf("read %d after a change gave %o, %v", i, n.Attr.Mode, err)
		}
	}
}

// The source refuses a change because of what this site does not know yet: the
// next look must show it.
func TestRefusedChangeShowsItsReason(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	other := session(t, mustClient(t, s.world))
	theirs := change(t, other, file(meta.RootIno, "f")).Node.Ino
	if _, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("lookup here: %v", err)
	}
	if _, err := s.e.Change(t.Context(), file(meta.RootIno, "f")); !errors.Is(err, syscall.EEXIST) {
		t.Fatalf("create: %v", err)
	}
	for range 2 {
		if n, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != theirs {
			t.Errorf("lookup after EEXIST: %+v, %v", n, err)
		}
	}
	if n := s.wan.reads.Load(); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
}

func TestPromise09CutLink(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	f := change(t, s.e, file(meta.RootIno, "f")).Node.Ino
	s.catchUp(t)
	change(t, s.e, meta.SetXattr{Ino: f, Name: "user.a", Value: []byte("v")})
	s.wan.cut(true)

	if n, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
		t.Errorf("a read of what is here: %+v, %v", n, err)
	}
	_, err := s.e.GetXattr(t.Context(), f, "user.a")
	if meta.Errno(err) != syscall.EIO || !errors.Is(err, meta.ErrUnreachable) {
		t.Errorf("a read of what is newer than what is here: %v", err)
	}
	for range 2 {
		_, err = s.e.Change(t.Context(), file(meta.RootIno, "g"))
		if meta.Errno(err) != syscall.EIO || !errors.Is(err, meta.ErrUnreachable) {
			t.Errorf("a change: %v", err)
		}
	}
	if _, err := s.e.Lookup(t.Context(), meta.RootIno, "g"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a read of what could not be made: %v", err)
	}
	s.wan.cut(false)
	until(t, "changes work again", func() bool {
		_, err := s.e.Change(t.Context(), file(meta.RootIno, "g"))
		return err == nil
	})
	if v, err := s.e.GetXattr(t.Context(), f, "user.a"); err != nil || string(v) != "v" {
		t.Errorf("after the cut: %q, %v", v, err)
	}
}

// A mount of a mirror comes up during a cut, read only, and writes once the link
// is there.
func TestStartDuringACut(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	s.wan.cut(true)
	start := func() error { return s.e.StartSession(t.Context(), meta.SessionInfo{Kind: "mount"}) }
	if err := start(); !errors.Is(err, meta.ErrUnreachable) {
		t.Errorf("starting a session: %v", err)
	}
	if _, err := s.e.GetAttr(t.Context(), meta.RootIno); err != nil {
		t.Errorf("a read: %v", err)
	}
	if err := s.e.EndSession(t.Context()); err != nil {
		t.Errorf("ending what was not started: %v", err)
	}
	s.wan.cut(false)
	until(t, "a session starts", func() bool { return start() == nil })
	change(t, s.e, file(meta.RootIno, "f"))
	if err := s.e.EndSession(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.e.Change(t.Context(), file(meta.RootIno, "g")); !errors.Is(err, meta.ErrSessionEnded) {
		t.Errorf("a change after the session's end: %v", err)
	}
}

// Others end the session of a client that was cut off for long. It goes on under
// another one.
func TestSessionEndedDuringACut(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	session(t, s.e)
	all, err := s.source.(meta.Purger).Sessions(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("sessions: %+v, %v", all, err)
	}
	change(t, s.source, meta.EndOtherSession{ID: all[0].ID, Force: true})
	if _, err := s.e.Change(t.Context(), file(meta.RootIno, "f")); !errors.Is(err, meta.ErrSessionEnded) {
		t.Errorf("a change: %v", err)
	}
	session(t, s.e)
	change(t, s.e, file(meta.RootIno, "f"))
}

// While the first copy is under way, a mount of the mirror reads from the source.
func TestReadsAtTheSourceDuringTheCopy(t *testing.T) {
	w := modelWorld(t)
	other := session(t, mustClient(t, w))
	f := change(t, other, file(meta.RootIno, "f")).Node.Ino
	w.add(t)
	e, err := mirror.NewEngine(mirror.EngineOptions{Near: w.nearClient(), Dial: w.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if n, err := e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
		t.Errorf("lookup during the copy: %+v, %v", n, err)
	}
	session(t, e)
	g := change(t, e, file(meta.RootIno, "g")).Node.Ino
	start(t, w.config(t))
	for range 50 {
		if n, err := e.Lookup(t.Context(), meta.RootIno, "g"); err != nil || n.Ino != g {
			t.Fatalf("lookup while the copy is made: %+v, %v", n, err)
		}
		if n, err := e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
			t.Fatalf("lookup while the copy is made: %+v, %v", n, err)
		}
	}
	w.wait(t)
}

// A mirror is removed and added again while it is mounted: what the mount sees is
// never half a copy.
func TestReadsDuringANewCopy(t *testing.T) {
	for name, w := range map[string]*world{"model": modelWorld(t), "redis": redisWorld(t).world} {
		t.Run(name, func(t *testing.T) {
			other := session(t, mustClient(t, w))
			f := change(t, other, file(meta.RootIno, "f")).Node.Ino
			w.add(t)
			stop := start(t, w.config(t))
			w.wait(t)
			stop()
			e, err := mirror.NewEngine(mirror.EngineOptions{Near: w.nearClient(), Dial: w.client})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			look := func() {
				t.Helper()
				if n, err := e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
					t.Errorf("lookup gave %+v, %v", n, err)
				}
				if p, err := e.ReadDir(t.Context(), meta.RootIno, "", 10); err != nil || len(p.Entries) != 1 {
					t.Errorf("readdir gave %+v, %v", p, err)
				}
			}
			look()
			if _, err := mirror.Remove(t.Context(), w.source, w.near); err != nil {
				t.Fatal(err)
			}
			look()
			w.add(t)
			for range 3 {
				look()
			}
			start(t, w.config(t))
			for range 20 {
				look()
			}
			w.wait(t)
			look()
		})
	}
}

// Promise 7: with a limit to the lag, what was acknowledged that long ago is seen.
func TestPromise07MaxLag(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{MaxLag: 50 * time.Millisecond})
	other := session(t, mustClient(t, s.world))
	change(t, other, file(meta.RootIno, "f"))
	// The mirror stands still: what it lacks is seen once it is known to lag.
	if _, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil {
		t.Errorf("lookup on a lagging mirror: %v", err)
	}
	s.catchUp(t)
	until(t, "reads are near again", func() bool {
		before := s.wan.reads.Load()
		_, err := s.e.GetAttr(t.Context(), meta.RootIno)
		return err == nil && s.wan.reads.Load() == before
	})
	change(t, other, file(meta.RootIno, "g"))
	until(t, "a change elsewhere is seen", func() bool {
		_, err := s.e.Lookup(t.Context(), meta.RootIno, "g")
		return err == nil
	})
	s.wan.cut(true)
	until(t, "reads go on here during a cut", func() bool {
		_, err := s.e.Lookup(t.Context(), meta.RootIno, "f")
		return err == nil
	})
}

// With a full table, floors become one for everything: slower, never older.
func TestFullTableOfFloors(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{MaxFloors: 3})
	session(t, s.e)
	var last meta.Ino
	for i := range 20 {
		last = change(t, s.e, file(meta.RootIno, fmt.Sprint("f", i))).Node.Ino
	}
	for i := range 20 {
		if _, err := s.e.Lookup(t.Context(), meta.RootIno, fmt.Sprint("f", i)); err != nil {
			t.Errorf("lookup of file %d: %v", i, err)
		}
	}
	s.catchUp(t)
	far := s.wan.reads.Load()
	if n, err := s.e.GetAttr(t.Context(), last); err != nil || n.Ino != last || s.wan.reads.Load() != far {
		t.Errorf("after catching up: %+v, %v, %d far reads", n, err, s.wan.reads.Load()-far)
	}
}

// A mirror whose Redis lost its tail must not show what a client has seen newer.
func TestMirrorThatWentBack(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	other := session(t, mustClient(t, s.world))
	f := change(t, other, file(meta.RootIno, "f")).Node.Ino
	old, oldRows := mustState(t, s.near), rows(t, s.near)
	s.catchUp(t)
	if _, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil {
		t.Fatal(err)
	}
	if err := s.near.Reset(t.Context(), mustVolume(t, s.source), old); err != nil {
		t.Fatal(err)
	}
	for _, row := range oldRows {
		if err := s.near.Load(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.near.Apply(t.Context(), mustState(t, s.near), nil, old.Position); err != nil {
		t.Fatal(err)
	}
	if n, err := s.e.Lookup(t.Context(), meta.RootIno, "f"); err != nil || n.Ino != f {
		t.Errorf("lookup of what was seen before: %+v, %v", n, err)
	}
}
