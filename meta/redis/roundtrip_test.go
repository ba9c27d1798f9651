package redis_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// countingDialer counts what is written to connections: a request is one write.
type countingDialer struct{ writes atomic.Int64 }

func (d *countingDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn, writes: &d.writes}, nil
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// roundTrip is an operation on a small tree: see treeOfFour.
type roundTrip struct {
	name string
	run  func(ctx context.Context, e *redis.Engine) error
}

func changes(name string, c meta.Change) roundTrip {
	return roundTrip{name, func(ctx context.Context, e *redis.Engine) error {
		_, err := e.Change(ctx, c)
		return err
	}}
}

func asks(name string, ask func(ctx context.Context, r meta.Reader) error) roundTrip {
	return roundTrip{name, func(ctx context.Context, e *redis.Engine) error { return ask(ctx, e) }}
}

// treeOfFour makes the directory 2, in it the files 3 and 4, and the link 5.
func treeOfFour(t *testing.T, e *redis.Engine) {
	t.Helper()
	for _, c := range []meta.Change{
		meta.Make{Parent: 1, Name: "dir", Mode: meta.TypeDir | 0o755},
		newFile(2, "a"), newFile(2, "b"),
		meta.Make{Parent: 2, Name: "link", Mode: meta.TypeSymlink | 0o777, Target: "a"},
		wholeFile(3, 1),
	} {
		if _, err := e.Change(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func allRoundTrips() []roundTrip {
	return []roundTrip{
		changes("create", newFile(2, "c")),
		changes("mkdir", meta.Make{Parent: 2, Name: "d", Mode: meta.TypeDir | 0o755}),
		changes("mknod", meta.Make{Parent: 2, Name: "p", Mode: meta.TypeFifo | 0o644}),
		changes("symlink", meta.Make{Parent: 2, Name: "s", Mode: meta.TypeSymlink | 0o777, Target: "x"}),
		changes("link", meta.Link{Ino: 3, Parent: 1, Name: "hard"}),
		changes("commit over an extent", wholeFile(3, 2)),
		changes("commit of many chunks", meta.Commit{Ino: 4, Chunks: []meta.ChunkExtents{
			{Index: 0, Extents: []meta.Extent{{Len: 10, Slice: 3, Home: 1, Size: 30}, {Pos: 5, Len: 10, Slice: 3, Home: 1, Size: 30, Off: 20}}},
			{Index: 7, Extents: []meta.Extent{{Len: 10, Slice: 4, Home: 1, Size: 10}}},
		}}),
		changes("hole", meta.Commit{Ino: 4, Size: 100, Chunks: []meta.ChunkExtents{{Extents: []meta.Extent{{Pos: 2, Len: 3}}}}}),
		changes("clone", meta.Clone{Src: 4, Dst: 3, SrcOff: 1, DstOff: 7 << 20, Len: 7 << 20}),
		changes("compact", meta.Compact{Ino: 4, Index: 7, Old: []meta.Extent{{Len: 10, Slice: 4, Home: 1, Size: 10}}, New: []meta.Extent{{Len: 10, Slice: 5, Home: 1, Size: 10}}}),
		changes("chmod", meta.SetAttr{Ino: 3, Set: meta.SetMode, Mode: 0o600}),
		changes("truncate", meta.SetAttr{Ino: 4, Set: meta.SetSize, Size: 7}),
		changes("setxattr", meta.SetXattr{Ino: 3, Name: "user.a", Value: []byte("v")}),
		asks("getxattr", func(ctx context.Context, r meta.Reader) error {
			_, err := r.GetXattr(ctx, 3, "user.a")
			return err
		}),
		asks("listxattr", func(ctx context.Context, r meta.Reader) error {
			_, err := r.ListXattr(ctx, 3)
			return err
		}),
		changes("removexattr", meta.RemoveXattr{Ino: 3, Name: "user.a"}),
		changes("rename", meta.Rename{OldParent: 2, OldName: "c", NewParent: 1, NewName: "moved"}),
		changes("rename over a file", meta.Rename{OldParent: 1, OldName: "moved", NewParent: 2, NewName: "a"}),
		changes("exchange", meta.Rename{OldParent: 2, OldName: "a", NewParent: 2, NewName: "d", Flags: meta.RenameExchange}),
		changes("unlink", meta.Unlink{Parent: 2, Name: "b"}),
		changes("rmdir", meta.Rmdir{Parent: 2, Name: "a"}),
		changes("reserve", meta.Reserve{Count: 10}),
		changes("quota", meta.SetQuota{Dir: 2, Limit: meta.Usage{Inodes: 1000}}),
		changes("count", meta.Count{Dir: 2}),
		changes("create under a quota", newFile(2, "q")),
		changes("commit under a quota", wholeFile(3, 9)),
		asks("quotas", func(ctx context.Context, r meta.Reader) error {
			_, err := r.Quotas(ctx)
			return err
		}),
		asks("quotas at", func(ctx context.Context, r meta.Reader) error {
			_, err := r.QuotasAt(ctx, 3)
			return err
		}),
		changes("settings", meta.Settings{Volume: meta.Volume{Name: "test"}}),
		{"purge", func(ctx context.Context, e *redis.Engine) error {
			_, err := e.Change(ctx, meta.Purge{Orphan: meta.Orphan{Ino: 999}})
			if meta.Errno(err) == 0 {
				return err
			}
			return nil // no such orphan, which took a round trip to know
		}},
		{"heartbeat", func(ctx context.Context, e *redis.Engine) error { return e.Heartbeat(ctx, []meta.Ino{3, 4}) }},
		asks("lookup", func(ctx context.Context, r meta.Reader) error {
			_, err := r.Lookup(ctx, 1, "dir")
			return err
		}),
		asks("getattr", func(ctx context.Context, r meta.Reader) error {
			_, err := r.GetAttr(ctx, 3)
			return err
		}),
		asks("resolve", func(ctx context.Context, r meta.Reader) error {
			_, err := r.Resolve(ctx, 1, "dir/link")
			return err
		}),
		asks("readdir", func(ctx context.Context, r meta.Reader) error {
			_, err := r.ReadDir(ctx, 2, "", 1000)
			return err
		}),
		asks("readlink", func(ctx context.Context, r meta.Reader) error {
			_, err := r.ReadLink(ctx, 5)
			return err
		}),
		asks("extents", func(ctx context.Context, r meta.Reader) error {
			_, _, err := r.Extents(ctx, 3, 0, 10)
			return err
		}),
		asks("statfs", func(ctx context.Context, r meta.Reader) error {
			_, err := r.StatFS(ctx)
			return err
		}),
		{"state", func(ctx context.Context, e *redis.Engine) error {
			_, err := e.State(ctx)
			return err
		}},
		{"volume", func(ctx context.Context, e *redis.Engine) error {
			_, err := e.Volume(ctx)
			return err
		}},
		{"end session", func(ctx context.Context, e *redis.Engine) error { return e.EndSession(ctx) }},
		{"start session", func(ctx context.Context, e *redis.Engine) error {
			return e.StartSession(ctx, meta.SessionInfo{Kind: "cli"})
		}},
	}
}

// Every operation is one request, and one command at the server.
func TestEveryOperationIsOneRoundTrip(t *testing.T) {
	address := redistest.Start(t)
	redistest.Format(t, address, redis.Options{})
	var d countingDialer
	e := redistest.Open(t, address, redis.Options{Dialer: d.dial})
	if err := e.StartSession(t.Context(), meta.SessionInfo{Kind: "cli"}); err != nil {
		t.Fatal(err)
	}
	treeOfFour(t, e)
	server := admin(t, address)
	for _, op := range allRoundTrips() {
		if err := server.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		calls, _ := functionStats(t, server)
		before := d.writes.Load()
		if err := op.run(t.Context(), e); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
		if n := d.writes.Load() - before; n != 1 {
			t.Errorf("%s sent %d requests: want one", op.name, n)
		}
		after, _ := functionStats(t, server)
		direct := op.name == "state" || op.name == "volume"
		if n := after - calls; n != 1 && !direct {
			t.Errorf("%s called %v functions: want one", op.name, n)
		}
	}
}
