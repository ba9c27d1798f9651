package redis_test

import (
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// Directories lie in each other as deep as may be, below quotas: no call that has to find out below
// which, or whether one lies in itself, keeps the server for long.
func TestNoDeepCallTakesLong(t *testing.T) {
	const most = 60 * time.Millisecond // as in TestNoCallTakesLong
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	e := redistest.Open(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	f := &fragments{t: t, e: e, server: admin(t, address)}
	top, bottom := f.chain(meta.MaxDepth)
	f.calls, f.slowest = 0, 0
	limit := meta.Usage{Bytes: 1 << 40, Inodes: 1 << 30}
	f.must(meta.Make{Parent: bottom, Name: "before", Mode: meta.TypeFile | 0o644})
	f.must(meta.SetQuota{Dir: top, Limit: limit})
	for counting := true; counting; {
		f.must(meta.Count{Dir: top})
		quotas, err := e.QuotasAt(t.Context(), top)
		if err != nil {
			t.Fatal(err)
		}
		counting = quotas[0].IsCounting()
	}
	f.must(meta.SetQuota{Dir: bottom, Limit: limit})
	f.told("setting and counting quotas", most)

	deep := f.file(bottom, "deep")
	f.must(meta.Commit{Ino: deep, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{f.extent(0, 4096)}}}})
	f.must(meta.Link{Ino: deep, Parent: bottom, Name: "link"})
	f.must(meta.Unlink{Parent: bottom, Name: "link"})
	f.costs(func() {
		if quotas, err := e.QuotasAt(t.Context(), bottom); err != nil || quotas[1].Used.Inodes != meta.MaxDepth+1 {
			t.Errorf("%+v, %v", quotas, err)
		}
	})
	f.told("changes at the bottom", most)

	f.refused(syscall.ENAMETOOLONG, meta.Make{Parent: bottom, Name: "d", Mode: meta.TypeDir | 0o755})
	f.refused(syscall.EINVAL, meta.Rename{OldParent: 1, OldName: "top", NewParent: f.parent(bottom), NewName: "d"})
	f.refused(syscall.EXDEV, meta.Rename{OldParent: f.parent(bottom), OldName: "63", NewParent: 1, NewName: "d"})
	f.must(meta.Rename{OldParent: bottom, OldName: "deep", NewParent: 1, NewName: "deep"})
	f.must(meta.Rename{OldParent: 1, OldName: "deep", NewParent: bottom, NewName: "deep"})
	_, other := f.chain(meta.MaxDepth - 1)
	f.calls, f.slowest = 0, 0
	f.must(meta.Make{Parent: other, Name: "d", Mode: meta.TypeDir | 0o755})
	f.refused(syscall.EXDEV, meta.Rename{OldParent: other, OldName: "d", NewParent: f.parent(bottom), NewName: "d", Flags: meta.RenameNoReplace})
	f.must(meta.SetQuota{Dir: bottom})
	f.must(meta.SetQuota{Dir: top})
	f.must(meta.Rename{OldParent: other, OldName: "d", NewParent: f.parent(bottom), NewName: "d"})
	f.told("renames", most)
}

// told judges the calls since it was called last.
func (f *fragments) told(what string, most time.Duration) {
	f.t.Helper()
	f.t.Logf("%s: %d calls, the slowest %v", what, f.calls, f.slowest.Round(100*time.Microsecond))
	if f.slowest > most {
		f.t.Errorf("%s: a call took %v of the server's processor: want 20 ms", what, f.slowest)
	}
	f.calls, f.slowest = 0, 0
}

func (f *fragments) refused(errno syscall.Errno, c meta.Change) {
	f.t.Helper()
	var err error
	f.costs(func() { _, err = f.e.Change(f.t.Context(), c) })
	if meta.Errno(err) != errno {
		f.t.Errorf("%+v: %v, want %v", c, err, errno)
	}
}

func (f *fragments) file(parent meta.Ino, name string) meta.Ino {
	f.t.Helper()
	res, _ := f.do(meta.Make{Parent: parent, Name: name, Mode: meta.TypeFile | 0o644})
	return res.Node.Ino
}

func (f *fragments) parent(dir meta.Ino) meta.Ino {
	f.t.Helper()
	n, err := f.e.GetAttr(f.t.Context(), dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return n.Attr.Parent
}

// chain makes directories in each other, the first named top in the root, and gives the first and
// the last. Short ones are made, and the rest is moved below the last of them, so that few steps are walked.
func (f *fragments) chain(depth int) (top, bottom meta.Ino) {
	f.t.Helper()
	const short = 64
	name := "top"
	for {
		if _, err := f.e.Lookup(f.t.Context(), 1, name); errors.Is(err, syscall.ENOENT) {
			break
		}
		name += "+"
	}
	for done := 0; done < depth; {
		at := meta.Ino(1)
		first := meta.Ino(0)
		for i := range min(short, depth-done) {
			called := strconv.Itoa(i)
			if i == 0 {
				called = "new"
			}
			res, _ := f.do(meta.Make{Parent: at, Name: called, Mode: meta.TypeDir | 0o755})
			if at = res.Node.Ino; first == 0 {
				first = at
			}
			done++
		}
		if bottom == 0 {
			bottom = at
		} else {
			f.must(meta.Rename{OldParent: 1, OldName: name, NewParent: at, NewName: "0"})
		}
		f.must(meta.Rename{OldParent: 1, OldName: "new", NewParent: 1, NewName: name})
		top = first
	}
	return top, bottom
}
