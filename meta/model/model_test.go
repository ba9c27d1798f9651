package model_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

// newEngine formats a volume, and starts a session on it.
func newEngine(t *testing.T) *model.Engine {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	e := model.New(meta.Volume{Name: "test"}, func() time.Time {
		now = now.Add(time.Millisecond)
		return now
	})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Host: "here"}); err != nil {
		t.Fatal(err)
	}
	return e
}

func mustChange(t *testing.T, e meta.Engine, c meta.Change) meta.Result {
	t.Helper()
	r, err := e.Change(t.Context(), c)
	if err != nil {
		t.Fatalf("%#v: %v", c, err)
	}
	return r
}

func TestCreateLookupUnlink(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	made := mustChange(t, e, meta.Make{Parent: meta.RootIno, Name: "a", Mode: meta.TypeFile | 0o644})
	if n, err := e.Lookup(ctx, meta.RootIno, "a"); err != nil || n != made.Node {
		t.Errorf("looked up %+v, %v; made %+v", n, err, made.Node)
	}
	gone := mustChange(t, e, meta.Unlink{Parent: meta.RootIno, Name: "a"})
	if gone.Node.Ino != made.Node.Ino || gone.Node.Attr.Nlink != 0 {
		t.Errorf("unlink answered %+v", gone.Node)
	}
	if _, err := e.Lookup(ctx, meta.RootIno, "a"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("looked up after unlink: %v", err)
	}
	orphans, err := e.Orphans(ctx, meta.Orphan{}, time.Unix(1<<40, 0), 10)
	if err != nil || len(orphans) != 1 || orphans[0].Name != "a" {
		t.Fatalf("orphans %+v, %v", orphans, err)
	}
	mustChange(t, e, meta.Purge{Orphan: orphans[0]})
	if _, err := e.GetAttr(ctx, made.Node.Ino); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("purged inode: %v", err)
	}
}

// A view that waits inside its observer must not hold up the volume.
func TestObserverRunsWithoutTheLock(t *testing.T) {
	e := newEngine(t)
	var seen meta.Position
	r := e.View(meta.ViewOptions{Observe: func(p meta.Position) {
		seen = p
		if _, err := e.State(context.Background()); err != nil {
			t.Error(err)
		}
	}})
	if _, err := r.GetAttr(t.Context(), meta.RootIno); err != nil {
		t.Fatal(err)
	}
	if s, err := e.State(t.Context()); err != nil || s.Position != seen {
		t.Errorf("observed %v, state %+v, %v", seen, s, err)
	}
}
