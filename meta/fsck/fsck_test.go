package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/fsck"
	"mirrorfs/meta/model"
)

// newVolume is a volume in memory with some files; meta/redis has the tests of each kind of row.
func newVolume(t *testing.T) *model.Engine {
	t.Helper()
	e := model.New(meta.Volume{Name: "test"}, nil)
	if err := e.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
	do(t, e, meta.Reserve{Count: 100})
	for i := range 5 {
		dir := do(t, e, meta.Make{Parent: meta.RootIno, Name: fmt.Sprint("dir-", i), Mode: meta.TypeDir | 0o755}).Node.Ino
		file := do(t, e, meta.Make{Parent: dir, Name: "file", Mode: meta.TypeFile | 0o644}).Node.Ino
		extent := meta.Extent{Len: 5000, Slice: uint64(i) + 1, Home: 1, Size: 5000}
		do(t, e, meta.Commit{Ino: file, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{extent}}}})
		do(t, e, meta.Link{Ino: file, Parent: meta.RootIno, Name: fmt.Sprint("link-", i)})
	}
	do(t, e, meta.Unlink{Parent: meta.RootIno, Name: "link-3"})
	return e
}

func do(t *testing.T, e *model.Engine, c meta.Change) meta.Result {
	t.Helper()
	r, err := e.Change(t.Context(), c)
	if err != nil {
		t.Fatalf("%#v: %v", c, err)
	}
	return r
}

func check(t *testing.T, e fsck.Source) *fsck.Report {
	t.Helper()
	r, err := fsck.Check(t.Context(), e, fsck.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSoundVolume(t *testing.T) {
	r := check(t, newVolume(t))
	if len(r.Findings) > 0 || !r.Clean() || r.Inodes != 11 || r.Names != 14 || r.Slices != 5 {
		t.Errorf("%d inodes, %d names, %d slices, findings %v", r.Inodes, r.Names, r.Slices, r.Findings)
	}
	n := 0
	r.EachSlice(func(s meta.Slice) bool {
		n++
		if path := r.Path(r.Owner(s.ID)); s.Size != 5000 || s.Home != 1 || path == "" {
			t.Errorf("slice %+v of %q", s, path)
		}
		return n < 3
	})
	if n != 3 {
		t.Errorf("told of %d slices after the third was enough", n)
	}
}

// damage makes a volume unsound by the change that mends it.
func damage(t *testing.T, e *model.Engine, ino meta.Ino, change func(a *meta.Attr)) {
	t.Helper()
	n, err := e.GetAttr(t.Context(), ino)
	if err != nil {
		t.Fatal(err)
	}
	change(&n.Attr)
	do(t, e, meta.Repair{Effects: []meta.Effect{{Kind: meta.EffectInode, Ino: ino, Attr: n.Attr}}})
}

func TestRepair(t *testing.T) {
	e := newVolume(t)
	damage(t, e, 2, func(a *meta.Attr) { a.Size = 7 })
	damage(t, e, 3, func(a *meta.Attr) { a.Nlink = 9 })
	r := check(t, e)
	if len(r.Findings) != 2 || r.Findings[0].Path != "/dir-0" || r.Findings[1].Inode != 3 || r.Clean() {
		t.Fatalf("found %v", r.Findings)
	}
	if err := r.Repair(t.Context(), e); err != nil || !r.Clean() {
		t.Errorf("repair: %v, %v", err, r.Findings)
	}
	if again := check(t, e); len(again.Findings) > 0 {
		t.Errorf("after the repair: %v", again.Findings)
	}
}

// What others have changed since the check is theirs.
func TestRepairUndoesNothing(t *testing.T) {
	e := newVolume(t)
	damage(t, e, 2, func(a *meta.Attr) { a.Size = 7 })
	r := check(t, e)
	do(t, e, meta.Make{Parent: 2, Name: "since", Mode: meta.TypeFile | 0o644})
	before, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Repair(t.Context(), e); err != nil || r.Clean() || r.Findings[0].Failed == "" {
		t.Errorf("repair: %v, %+v", err, r.Findings[0])
	}
	if after, err := e.State(t.Context()); err != nil || after != before {
		t.Errorf("the state was %+v, is %+v, %v", before, after, err)
	}
	if r = check(t, e); len(r.Findings) != 1 {
		t.Errorf("found %v", r.Findings)
	}
}

// At a site that takes no changes a repair fails as a whole.
func TestRepairAtAMirror(t *testing.T) {
	e := newVolume(t)
	damage(t, e, 2, func(a *meta.Attr) { a.Size = 7 })
	mirror := model.NewReplica(nil)
	if err := mirror.Reset(t.Context(), meta.Volume{Name: "test"}, meta.State{Chain: meta.EmptyChain}); err != nil {
		t.Fatal(err)
	}
	if _, err := fsck.Check(t.Context(), mirror, fsck.Options{}); !errors.Is(err, dump.ErrIncomplete) {
		t.Errorf("half a copy: %v", err)
	}
	log, err := e.Tail(t.Context(), meta.Position{}, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Apply(context.Background(), meta.State{Chain: meta.EmptyChain, Role: meta.RoleBootstrapping}, log, log[len(log)-1].Position); err != nil {
		t.Fatal(err)
	}
	r := check(t, mirror)
	if err := r.Repair(t.Context(), mirror); !errors.Is(err, meta.ErrReadOnly) || len(r.Findings) != 1 {
		t.Errorf("found %v, repair: %v", r.Findings, err)
	}
}
