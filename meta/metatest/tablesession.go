package metatest

import (
	"errors"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// refused says that a change was refused because its session is not.
func (b *table) refused(e meta.Engine, what string) {
	b.t.Helper()
	_, err := e.Change(b.t.Context(), meta.Reserve{Count: 1})
	if !errors.Is(err, meta.ErrSessionEnded) || meta.Errno(err) != syscall.ESTALE {
		b.t.Errorf("a change %s gave %v", what, err)
	}
}

func testSessions(b *table) {
	ctx := b.t.Context()
	e := b.p.volume.Open(b.t)
	b.refused(e, "without a session")
	if err := e.EndSession(ctx); err != nil {
		b.t.Errorf("ending no session: %v", err)
	}
	if err := e.Heartbeat(ctx, nil); !errors.Is(err, meta.ErrSessionEnded) {
		b.t.Errorf("heartbeat without a session: %v", err)
	}
	for range 3 {
		start(b.t, e)
		for range 5 {
			if _, err := e.Change(ctx, meta.Reserve{Count: 1}); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := e.Heartbeat(ctx, []meta.Ino{root}); err != nil {
			b.t.Errorf("heartbeat: %v", err)
		}
		if err := e.EndSession(ctx); err != nil {
			b.t.Errorf("ending a session: %v", err)
		}
		b.refused(e, "after its session")
		if err := e.Heartbeat(ctx, nil); !errors.Is(err, meta.ErrSessionEnded) {
			b.t.Errorf("heartbeat after the session: %v", err)
		}
	}
	if _, err := e.Lookup(ctx, root, "."); err != nil {
		b.t.Errorf("a read without a session: %v", err)
	}
	b.catchUp(e)
}

// catchUp makes as many changes in the model as the engine made without it, so that
// positions and slice numbers are in step again.
func (b *table) catchUp(e meta.Engine) {
	b.t.Helper()
	target, err := e.State(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for {
		s, err := b.p.model.State(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if s.NextSlice >= target.NextSlice {
			break
		}
		if _, err := b.p.model.Change(b.t.Context(), meta.Reserve{Count: 1}); err != nil {
			b.t.Fatal(err)
		}
	}
	b.p.baseModel, b.p.baseEngine = seq(b.t, b.p.model), seq(b.t, b.p.engine)
}

// sessions gives all sessions by their number.
func (b *table) sessions(p meta.Purger) map[meta.SessionID]meta.Session {
	b.t.Helper()
	all, err := p.Sessions(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	m := map[meta.SessionID]meta.Session{}
	for _, s := range all {
		m[s.ID] = s
	}
	return m
}

func testOtherSessions(b *table) {
	ctx := b.t.Context()
	purger, ok := b.p.engine.(meta.Purger)
	if !ok {
		b.t.Skip("the engine is no meta.Purger")
	}
	other := b.p.volume.Open(b.t)
	start(b.t, other)
	ids := func() map[meta.SessionID]meta.Session { return b.sessions(purger) }
	before := ids()
	third := b.p.volume.Open(b.t)
	start(b.t, third)
	var id meta.SessionID
	for i, s := range ids() {
		if _, known := before[i]; !known {
			id = i
			want := b.p.clock.now().Add(meta.SessionTTL)
			if s.Info != sessionInfo() || s.Expires.UnixMilli() != want.UnixMilli() {
				b.t.Errorf("the new session is %+v", s)
			}
		}
	}
	if id == 0 || len(before) != 2 {
		b.t.Fatalf("sessions were %v, the new one is %d", before, id)
	}
	end := func(force bool, want syscall.Errno) {
		b.t.Helper()
		if _, err := b.p.engine.Change(ctx, meta.EndOtherSession{ID: id, Force: force}); meta.Errno(err) != want {
			b.t.Errorf("ending a session, force %v: got %v, want %v", force, err, want)
		}
	}
	end(false, syscall.EBUSY)
	b.p.clock.advance(meta.SessionTTL - time.Second)
	end(false, syscall.EBUSY)
	if err := third.Heartbeat(ctx, nil); err != nil {
		b.t.Error(err)
	}
	b.p.clock.advance(meta.SessionTTL - time.Second)
	end(false, syscall.EBUSY)
	b.p.clock.advance(2 * time.Second)
	end(false, 0)
	end(true, syscall.ENOENT)
	b.refused(third, "after somebody ended its session")
	if err := third.Heartbeat(ctx, nil); !errors.Is(err, meta.ErrSessionEnded) {
		b.t.Errorf("heartbeat after somebody ended the session: %v", err)
	}
	start(b.t, third) // it goes on under a new one
	if _, err := third.Change(ctx, meta.Reserve{Count: 1}); err != nil {
		b.t.Error(err)
	}
	// Others administer without a session.
	fourth := b.p.volume.Open(b.t)
	for i := range ids() {
		if _, err := fourth.Change(ctx, meta.EndOtherSession{ID: i, Force: true}); err != nil {
			b.t.Errorf("ending session %x by force: %v", i, err)
		}
	}
	if left := ids(); len(left) > 0 {
		b.t.Errorf("sessions left: %v", left)
	}
	b.refused(other, "after its session was ended by force")
	start(b.t, b.p.engine)
	b.catchUp(b.p.engine)
}

// purgeAll purges all orphans, in the model too.
func (b *table) purgeAll() {
	b.t.Helper()
	orphans, err := allOrphans(b.t.Context(), b.p.model)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range orphans {
		b.do(meta.Purge{Orphan: o})
		b.refuses(syscall.ENOENT, "getattr", o.Ino, "", 0)
	}
}

func testPurge(b *table) {
	dir := b.dir(root, "dir")
	file := b.file(dir, "file")
	b.write(file, 1, 0, 100)
	b.write(file, 2, 50, 100)
	b.do(meta.SetXattr{Ino: file, Name: "user.a", Value: []byte("1")})
	link := b.symlink(dir, "link", "target")
	o := meta.Orphan{UnlinkedMs: b.p.clock.now().UnixMilli(), Ino: file, Parent: dir, Name: "file"}
	b.fail(syscall.ENOENT, meta.Purge{Orphan: o})
	b.do(meta.Unlink{Parent: dir, Name: "file"})
	b.do(meta.Unlink{Parent: dir, Name: "link"})
	wrong := o
	wrong.Name = "other"
	b.fail(syscall.ENOENT, meta.Purge{Orphan: wrong})
	b.do(meta.Purge{Orphan: o})
	b.fail(syscall.ENOENT, meta.Purge{Orphan: o})
	b.do(meta.Purge{Orphan: meta.Orphan{UnlinkedMs: o.UnlinkedMs, Ino: link, Parent: dir, Name: "link"}})
	b.refuses(syscall.ENOENT, "readlink", link, "", 0)
	b.refuses(syscall.ENOENT, "getxattr", file, "user.a", 0)
	if p, ok := b.p.engine.(meta.Purger); ok {
		b.orphanPages(p, dir)
	}
}

// orphanPages lists orphans by age, in parts.
func (b *table) orphanPages(p meta.Purger, dir meta.Ino) {
	b.t.Helper()
	var made []meta.Ino
	begin := b.p.clock.now()
	for range 10 {
		made = append(made, b.file(dir, "x"))
		b.do(meta.Unlink{Parent: dir, Name: "x"})
		b.p.clock.advance(time.Second)
	}
	for _, c := range []struct {
		before time.Time
		limit  int
		want   []meta.Ino
	}{
		{begin, 100, nil}, {begin.Add(2500 * time.Millisecond), 100, made[:3]}, {begin.Add(time.Hour), 4, made[:4]}, {begin.Add(time.Hour), 100, made},
	} {
		got, err := p.Orphans(b.t.Context(), meta.Orphan{}, c.before, c.limit)
		if err != nil || len(got) != len(c.want) {
			b.t.Errorf("orphans before %v, at most %d: %v, %v; want %v", c.before.Sub(begin), c.limit, got, err, c.want)
			continue
		}
		for i := range got {
			if got[i].Ino != c.want[i] || got[i].Parent != dir || got[i].Name != "x" {
				b.t.Errorf("orphan %d is %+v", i, got[i])
			}
		}
	}
}

// testPurgeOpen has another client keep an orphan open.
func testPurgeOpen(b *table) {
	ctx := b.t.Context()
	file := b.file(root, "file")
	b.do(meta.Unlink{Parent: root, Name: "file"})
	purge := meta.Purge{Orphan: meta.Orphan{UnlinkedMs: b.p.clock.now().UnixMilli(), Ino: file, Parent: root, Name: "file"}}
	others := []meta.Engine{b.p.model.Client(), b.p.volume.Open(b.t)}
	heartbeat := func(open ...meta.Ino) {
		b.t.Helper()
		for _, e := range others {
			if err := e.Heartbeat(ctx, open); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	for _, e := range others {
		start(b.t, e)
	}
	b.p.baseModel, b.p.baseEngine = seq(b.t, b.p.model), seq(b.t, b.p.engine)
	heartbeat(file, root)
	b.fail(syscall.EBUSY, purge)
	heartbeat(root)
	heartbeat(file)
	b.fail(syscall.EBUSY, purge)
	heartbeat()
	b.do(purge)

	file = b.file(root, "file")
	b.do(meta.Unlink{Parent: root, Name: "file"})
	purge.Orphan.Ino = file
	heartbeat(file)
	b.fail(syscall.EBUSY, purge)
	for _, e := range others { // a session that has ended keeps nothing open
		if err := e.EndSession(ctx); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do(purge)
}

func testSettings(b *table) {
	ctx := b.t.Context()
	v, err := b.p.engine.Volume(ctx)
	if err != nil || v.Name != "test" {
		b.t.Fatalf("volume %+v, %v", v, err)
	}
	v.Sites = map[uint8]meta.Site{1: {ID: 1, Name: "a", Bucket: "mem://"}, 2: {ID: 2, Name: "b"}}
	v.Trash = time.Hour
	admin := b.p.volume.Open(b.t) // without a session
	if _, err := admin.Change(ctx, meta.Settings{Volume: v}); err != nil {
		b.t.Fatal(err)
	}
	if got, err := b.p.engine.Volume(ctx); err != nil || len(got.Sites) != 2 || got.Trash != time.Hour || got.Sites[1] != v.Sites[1] || got.Name != "test" {
		b.t.Errorf("volume %+v, %v", got, err)
	}
}
