package mirror_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror"
)

// soon is a context for waits that are to be in vain.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A wait for one path ends when that path is here, and only then, whatever else is not here.
func TestPromise07WaitForAPath(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	w := session(t, mustClient(t, s.world))
	d := change(t, w, dir(meta.RootIno, "d")).Node.Ino
	f := change(t, w, file(d, "f")).Node.Ino
	change(t, w, file(d, "g"))
	s.catchUp(t)
	is := func(path string, there bool) {
		t.Helper()
		ctx := t.Context()
		if !there {
			ctx = soon(t)
		}
		_, err := mirror.WaitPath(ctx, s.source, s.near, path)
		if there && err != nil || !there && !errors.Is(err, mirror.ErrNotThere) {
			t.Errorf("waiting for %s: %v, want it there: %v", path, err, there)
		}
	}
	is("/d/f", true)
	is("/", true)
	// f is written, g not touched: only f, and what is above it, is waited for.
	x := meta.Extent{Len: 10, Slice: 77, Home: 1, Size: 10}
	change(t, w, meta.Commit{Ino: f, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{x}}}})
	is("/d/g", true)
	is("/d/f", false)
	is("/d", false)
	is("/", false)
	is("/d/new", true) // is at neither
	is("/d/g/below", true)
	s.catchUp(t)
	is("/d/f", true)
	change(t, w, file(d, "new"))
	is("/d/new", false)
	change(t, w, meta.Unlink{Parent: d, Name: "g"})
	is("/d/g", false)
	s.catchUp(t)
	is("/d/g", true)
	change(t, w, meta.SetXattr{Ino: f, Name: "user.a", Value: []byte("1")})
	is("/d/f", false)
	s.catchUp(t)
	change(t, w, meta.SetAttr{Ino: d, Set: meta.SetMode, Mode: 0o700}) // who may go there
	is("/d/f", false)
	s.catchUp(t)
	is("/d/f", true)
}

func TestPromise07WaitForAPosition(t *testing.T) {
	s := stillMirror(t, mirror.EngineOptions{})
	w := session(t, mustClient(t, s.world))
	at := change(t, w, file(meta.RootIno, "f")).Position
	if err := mirror.WaitFor(soon(t), s.near, at); !errors.Is(err, mirror.ErrNotThere) {
		t.Errorf("a position that is not here: %v", err)
	}
	s.catchUp(t)
	if err := mirror.WaitFor(t.Context(), s.near, at); err != nil {
		t.Error(err)
	}
}
