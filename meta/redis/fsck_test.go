package redis_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/fsck"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// patient is a volume to be damaged, with one of each kind of row.
type patient struct {
	t      *testing.T
	e      *redis.Engine
	server *goredis.Client
	ino    map[string]meta.Ino // by path
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	e := redistest.New(t)
	p := &patient{t: t, e: e, server: admin(t, addressOf(t, e)), ino: map[string]meta.Ino{"/": 1}}
	p.do(meta.Reserve{Count: 100})
	p.make("/dir", meta.TypeDir|0o755)
	p.do(meta.SetQuota{Dir: p.ino["/dir"], Limit: meta.Usage{Inodes: 100}})
	p.make("/dir/below", meta.TypeDir|0o755)
	p.make("/dir/below/deep", meta.TypeFile|0o644)
	p.make("/many", meta.TypeDir|0o755)
	for i := range 300 {
		p.make(fmt.Sprintf("/many/%03d", i), meta.TypeFifo|0o644)
	}
	for i, name := range []string{"/one", "/dir/two", "/deleted"} {
		p.make(name, meta.TypeFile|0o644)
		p.do(wholeFile(p.ino[name], uint64(i)+1))
	}
	p.make("/lists", meta.TypeFile|0o644)
	p.do(meta.Commit{Ino: p.ino["/lists"], Chunks: []meta.ChunkExtents{
		{Index: 0, Extents: []meta.Extent{{Pos: 0, Len: 10, Slice: 10, Home: 1, Size: 30}, {Pos: 20, Len: 10, Slice: 10, Home: 1, Size: 30, Off: 10}}},
		{Index: 2, Extents: []meta.Extent{{Pos: 5, Len: 10, Slice: 11, Home: 1, Size: 10}}},
	}})
	p.do(meta.Unlink{Parent: 1, Name: "deleted"})
	p.make("/removed", meta.TypeDir|0o755)
	p.do(meta.Rmdir{Parent: 1, Name: "removed"})
	p.do(meta.Link{Ino: p.ino["/one"], Parent: p.ino["/dir"], Name: "one too"})
	p.do(meta.SetXattr{Ino: p.ino["/dir/two"], Name: "user.a", Value: []byte("b")})
	p.make("/again", meta.TypeFile|0o644)
	p.do(wholeFile(p.ino["/again"], 20))
	p.do(wholeFile(p.ino["/again"], 21)) // slice 20 is freed
	p.ino["/link"] = p.do(meta.Make{Parent: 1, Name: "link", Mode: meta.TypeSymlink | 0o777, Target: "one"}).Node.Ino
	return p
}

func (p *patient) do(c meta.Change) meta.Result {
	p.t.Helper()
	r, err := p.e.Change(p.t.Context(), c)
	if err != nil {
		p.t.Fatalf("%#v: %v", c, err)
	}
	return r
}

func (p *patient) make(path string, mode uint32) {
	p.t.Helper()
	i := strings.LastIndex(path, "/")
	parent := p.ino[cmp.Or(path[:i], "/")]
	p.ino[path] = p.do(meta.Make{Parent: parent, Name: path[i+1:], Mode: mode}).Node.Ino
}

// redis runs a command.
func (p *patient) redis(args ...any) {
	p.t.Helper()
	args[1] = "{test}:" + args[1].(string)
	if n, err := p.server.Do(p.t.Context(), args...).Result(); err != nil || n == int64(0) && args[0] != "hset" && args[0] != "setbit" {
		p.t.Fatalf("%q: %v, %v", args, n, err)
	}
}

// row changes bytes of an inode's value.
func (p *patient) row(path string, change func(v []byte)) {
	p.t.Helper()
	key, field := fmt.Sprint("{test}:i", p.ino[path]/64), fmt.Sprint(p.ino[path]%64)
	v, err := p.server.HGet(p.t.Context(), key, field).Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	change(v)
	if err := p.server.HSet(p.t.Context(), key, field, v).Err(); err != nil {
		p.t.Fatal(err)
	}
}

// quota changes bytes of the quota of /dir.
func (p *patient) quota(change func(v []byte)) {
	p.t.Helper()
	v, err := p.server.HGet(p.t.Context(), "{test}:q", p.dir("/dir")).Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	change(v)
	if err := p.server.HSet(p.t.Context(), "{test}:q", p.dir("/dir"), v).Err(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) dir(path string) string { return fmt.Sprint(uint64(p.ino[path])) }

func (p *patient) noRow(path string) {
	p.t.Helper()
	p.redis("hdel", fmt.Sprint("i", p.ino[path]/64), fmt.Sprint(p.ino[path]%64))
}

// state changes bytes of the state.
func (p *patient) state(change func(v []byte)) {
	p.t.Helper()
	v, err := p.server.HGet(p.t.Context(), "{test}:v", "state").Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	change(v)
	if err := p.server.HSet(p.t.Context(), "{test}:v", "state", v).Err(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) check() *fsck.Report {
	p.t.Helper()
	r, err := fsck.Check(p.t.Context(), p.e, fsck.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// links sets a link count, or of a directory the number of its directories.
func links(n int) func(v []byte) {
	return func(v []byte) {
		if v[1]>>4 == 4 {
			binary.BigEndian.PutUint32(v[51:], uint32(n))
		} else {
			binary.BigEndian.PutUint16(v[3:], uint16(n))
		}
	}
}

func size(n int) func(v []byte) {
	return func(v []byte) { binary.BigEndian.PutUint32(v[39:], uint32(n)) }
}

// damages are what may be wrong, with what is to be found then: path, kind, and + for what is
// mended.
func damages() map[string]struct {
	damage func(p *patient)
	want   []string
} {
	return map[string]struct {
		damage func(p *patient)
		want   []string
	}{
		"nothing":          {func(*patient) {}, nil},
		"links of a file":  {func(p *patient) { p.row("/one", links(7)) }, []string{"/dir/one too links +"}},
		"links of none":    {func(p *patient) { p.row("/dir/two", links(0)) }, []string{"/dir/two links +"}},
		"directories":      {func(p *patient) { p.row("/dir", links(5)) }, []string{"/dir directory +"}},
		"entries":          {func(p *patient) { p.row("/dir", size(1)) }, []string{"/dir directory +"}},
		"parent":           {func(p *patient) { p.row("/dir/below", func(v []byte) { v[48] = 1 }) }, []string{"/dir/below directory +"}},
		"size of a link":   {func(p *patient) { p.row("/link", size(1)) }, []string{"/link target +"}},
		"no target":        {func(p *patient) { p.redis("hdel", fmt.Sprint("l", p.ino["/link"]/64), fmt.Sprint(p.ino["/link"]%64)) }, []string{"/link target"}},
		"flag of xattrs":   {func(p *patient) { p.row("/one", func(v []byte) { v[0] |= 1 }) }, []string{"/dir/one too attributes +"}},
		"no flag":          {func(p *patient) { p.row("/lists", func(v []byte) { v[0] &^= 4 }) }, lostLists()},
		"no inode":         {func(p *patient) { p.noRow("/dir/below/deep") }, []string{" usage +", "/dir quota +", "/dir/below entry +"}},
		"entry's type":     {func(p *patient) { p.redis("hset", "d1", "one", uint64(p.ino["/one"])*16+10) }, []string{"/ entry +"}},
		"no entry":         {func(p *patient) { p.redis("hdel", fmt.Sprint("d", p.ino["/dir"]), "two") }, []string{"/dir directory +", "? unreachable +"}},
		"no entry of many": {func(p *patient) { p.redis("hdel", "d1", "dir") }, []string{"/ directory +", "/ directory +", "? unreachable +"}},
		"one entry less":   {func(p *patient) { p.redis("hdel", "d1", "one") }, []string{"/ directory +", "/dir/one too links +", "/dir/one too links +"}},
		"a loop": {func(p *patient) {
			p.redis("hdel", "d1", "dir")
			p.redis("hset", fmt.Sprint("d", p.ino["/dir/below"]), "up", uint64(p.ino["/dir"])*16+4)
		}, []string{"/ directory +", "/ directory +", "? directory +", "? directory +", "? directory +", "? quota +", "? unreachable +"}},
		"no orphan":         {func(p *patient) { p.redis("del", "o") }, []string{"? orphan +", "? orphan +"}},
		"orphan of nothing": {func(p *patient) { p.noRow("/deleted") }, []string{" references +", "? orphan +"}},
		"orphan with a name": {func(p *patient) {
			p.redis("zadd", "o", 5, string(binary.BigEndian.AppendUint64(nil, uint64(p.ino["/one"])<<16)[:6]))
			p.redis("hset", fmt.Sprint("n", p.ino["/one"]/64), fmt.Sprint(p.ino["/one"]%64), "\x00\x00\x00\x00\x00\x01one")
		}, []string{"/dir/one too orphan +"}},
		"links of a removed directory": {func(p *patient) { p.row("/removed", func(v []byte) { v[4] = 1 }) }, []string{"? links +"}},
		"no mark of what is freed":     {func(p *patient) { p.redis("setbit", "k0", 20, 0) }, []string{" references +"}},
		"used bytes":                   {func(p *patient) { p.state(func(v []byte) { v[45]++ }) }, []string{" usage +"}},
		"used inodes":                  {func(p *patient) { p.state(func(v []byte) { v[52]-- }) }, []string{" usage +"}},
		"next slice":                   {func(p *patient) { p.state(func(v []byte) { v[39] = 5 }) }, []string{" next +"}},
		"names in a directory":         {func(p *patient) { p.redis("hset", fmt.Sprint("p", p.ino["/one"]), p.dir("/dir"), 5) }, []string{"/dir/one too links +"}},
		"no names in directories":      {func(p *patient) { p.redis("del", fmt.Sprint("p", p.ino["/one"])) }, []string{"/dir/one too links +"}},
		"no flag of names":             {func(p *patient) { p.row("/one", func(v []byte) { v[0] &^= 8 }) }, []string{"/dir/one too attributes", "/dir/one too links +"}},
		"parent of a file":             {func(p *patient) { p.row("/lists", func(v []byte) { v[48] = 3 }) }, []string{"/lists links +"}},
		"a quota's use":                {func(p *patient) { p.quota(func(v []byte) { v[19]++ }) }, []string{"/dir quota +"}},
		"a row cut short": {func(p *patient) {
			p.redis("hset", fmt.Sprint("i", p.ino["/dir/two"]/64), fmt.Sprint(p.ino["/dir/two"]%64), "\x00\x81\xa4\x00\x01 and nothing that makes sense in this place")
		}, []string{" references", " usage", "/dir quota", "/dir/two attributes"}},
		"references":            {func(p *patient) { p.redis("hset", "r", 10, 5) }, []string{"/lists references +"}},
		"no references":         {func(p *patient) { p.redis("del", "r") }, []string{"/lists references +"}},
		"references of nothing": {func(p *patient) { p.redis("hset", "r", 99, 5) }, []string{" references +"}},
		"mark of nothing":       {func(p *patient) { p.redis("setbit", "k0", 99, 1) }, []string{" references +"}},
		"no mark":               {func(p *patient) { p.redis("setbit", "k0", 11, 0) }, []string{"/lists references +"}},
		"freed in use": {func(p *patient) {
			p.redis("setbit", "k0", 50, 1)
			p.redis("hset", "g0", "11", 5, "50", 5)
			p.redis("zadd", "f", 5, "\x00\x00\x00\x00\x00\x03"+"\x00\x00\x00\x00\x00\x0b\x01\x00\x00\x00\x0a"+"\x00\x00\x00\x00\x00\x32\x01\x00\x00\x00\x0a")
		}, []string{"/lists freed +"}},
		"extent too long": {func(p *patient) {
			p.redis("hset", fmt.Sprint("c", p.ino["/lists"]), 2, string(meta.AppendExtents(nil, []meta.Extent{{Pos: 5, Len: 10, Slice: 11, Home: 1, Size: 9}})))
		}, []string{"/lists extents"}},
		"extents out of order": {func(p *patient) {
			p.redis("hset", fmt.Sprint("c", p.ino["/lists"]), 0, string(meta.AppendExtents(nil, []meta.Extent{{Pos: 20, Len: 10, Slice: 10, Home: 1, Size: 30, Off: 10}, {Len: 10, Slice: 10, Home: 1, Size: 30}})))
		}, []string{"/lists extents"}},
		"extent past the end": {func(p *patient) { p.row("/lists", func(v []byte) { v[42]-- }) }, []string{"/lists extents"}},
		"rows of nothing":     {func(p *patient) { p.redis("hset", "a30000", "user.a", "b") }, nil},
		"stray rows":          {func(p *patient) { p.noRow("/dir/two") }, []string{" references +", " usage +", "/dir entry +", "/dir quota +", "? stray"}},
		"a name in the wrong page": {func(p *patient) {
			p.redis("hdel", fmt.Sprint("d", p.ino["/many"], ".1"), "200")
			p.redis("hset", fmt.Sprint("d", p.ino["/many"]), "200", uint64(p.ino["/many/200"])*16+1)
		}, []string{"/many pages"}},
	}
}

// lostLists is what is found of a file that does not know of its lists: their slices seem unused.
func lostLists() []string {
	return []string{" references", " references", " references", "/lists attributes +"}
}

// Each damage is found, nothing else is, and what can be mended is: a second look finds only
// what cannot be. A mirror that had the damage copied is mended too.
func TestFsckFindsAndMends(t *testing.T) {
	for name, d := range damages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			d.damage(p)
			r := p.check()
			got := told(p, r)
			if slices.Sort(d.want); !slices.Equal(got, d.want) {
				t.Errorf("found %q, want %q", got, d.want)
			}
			var mirror *redis.Engine
			if name != "no flag" && name != "a row cut short" { // neither can be copied
				mirror = copyOf(t, p.e)
			}
			if err := r.Repair(t.Context(), p.e); err != nil {
				t.Fatal(err)
			}
			p.mended(r)
			if mirror != nil {
				sameAfter(t, p.e, mirror)
			}
		})
	}
}

// told gives each finding as path, kind and + for what can be mended.
func told(p *patient, r *fsck.Report) []string {
	var got []string
	for _, f := range r.Findings {
		p.t.Log(f)
		path := f.Path
		if path == "" && f.Inode != 0 {
			path = "?"
		}
		line := path + " " + f.Kind
		if f.Repair != "" {
			line += " +"
		}
		got = append(got, line)
	}
	slices.Sort(got)
	return got
}

// mended looks whether all is mended that was said to be, after what that brought to
// light was mended as well.
func (p *patient) mended(r *fsck.Report) {
	p.t.Helper()
	var left []string
	for _, f := range r.Findings {
		switch {
		case f.Repair == "":
			left = append(left, f.Problem)
		case !f.Repaired:
			p.t.Errorf("%s was not mended: %s", f, f.Failed)
		}
	}
	again := p.check()
	if err := again.Repair(p.t.Context(), p.e); err != nil {
		p.t.Fatal(err)
	}
	for _, f := range p.check().Findings { // what was only a consequence is gone
		if !slices.Contains(left, f.Problem) {
			p.t.Errorf("after the repair there is %s, want no more than %q", f, left)
		}
	}
}

// copyOf makes a mirror of a volume as it is.
func copyOf(t *testing.T, source *redis.Engine) *redis.Engine {
	t.Helper()
	to, _ := openReplica(t, redis.Options{})
	v, err := source.Volume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, err := source.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Reset(t.Context(), v, from); err != nil {
		t.Fatal(err)
	}
	for cursor := meta.Cursor(nil); ; {
		b, err := source.Scan(t.Context(), cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Load(t.Context(), b.Effects); err != nil {
			t.Fatal(err)
		}
		if cursor = b.Next; cursor == nil {
			return to
		}
	}
}

// sameAfter follows a volume and compares the rows, but for the marks of slices: a copy makes
// right ones.
func sameAfter(t *testing.T, source, mirror *redis.Engine) {
	t.Helper()
	at, err := mirror.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := source.Tail(t.Context(), at.Position, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Apply(t.Context(), at, log, meta.Position{}); err != nil {
		t.Fatal(err)
	}
	a, b := unpaged(mirroredKeys(t, addressOf(t, source))), unpaged(mirroredKeys(t, addressOf(t, mirror)))
	for name := range a {
		if name[0] != 'a' && !maps.Equal(a[name], b[name]) { // what no inode has is not copied
			t.Errorf("key %q: the volume has\n%q\nand its mirror\n%q", name, a[name], b[name])
		}
	}
}

// checkSound looks whether fsck finds nothing in a volume. Slices in it may have numbers that
// nobody reserved.
func checkSound(t testing.TB, address string) {
	t.Helper()
	r, err := fsck.Check(t.Context(), redistest.Open(t, address, redis.Options{}), fsck.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Kind != fsck.KindNext {
			t.Errorf("fsck: %s", f)
		}
	}
}

// A volume that is in use is as sound as one that is not: everything is checked at one position.
func TestFsckOfABusyVolume(t *testing.T) {
	e := redistest.New(t)
	if _, err := e.Change(t.Context(), meta.Reserve{Count: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	backlog(t, e, 200)
	busy, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; busy.Err() == nil; i++ {
				churn(t, e, w, i) //nolint:contextcheck // it ends what it began
			}
		})
	}
	for range 10 {
		r, err := fsck.Check(t.Context(), e, fsck.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			t.Errorf("at %s: %s", r.Position, f)
		}
	}
	stop()
	writers.Wait()
	checkSound(t, addressOf(t, e))
}

// churn makes, moves, links, truncates and removes files and directories.
func churn(t *testing.T, e *redis.Engine, w, i int) {
	name := fmt.Sprintf("busy-%d-%d", w, i%50)
	made, err := e.Change(t.Context(), newFile(1, name))
	if err != nil {
		t.Error(err)
		return
	}
	dir, err := e.Change(t.Context(), meta.Make{Parent: 1, Name: name + "-dir", Mode: meta.TypeDir | 0o755})
	if err != nil {
		t.Error(err)
		return
	}
	slice := uint64(1000 + w*100_000 + i)
	for _, c := range []meta.Change{
		wholeFile(made.Node.Ino, slice),
		meta.Commit{Ino: made.Node.Ino, Chunks: []meta.ChunkExtents{{Index: 1, Extents: []meta.Extent{{Len: 100, Slice: slice, Home: 1, Size: 4096}}}}},
		meta.SetXattr{Ino: made.Node.Ino, Name: "user.a"},
		meta.Link{Ino: made.Node.Ino, Parent: dir.Node.Ino, Name: "b"},
		meta.Rename{OldParent: 1, OldName: name + "-dir", NewParent: 1, NewName: name + "-moved"},
		meta.SetAttr{Ino: made.Node.Ino, Set: meta.SetSize, Size: 10},
		meta.Unlink{Parent: dir.Node.Ino, Name: "b"},
		meta.Rmdir{Parent: 1, Name: name + "-moved"},
		meta.Unlink{Parent: 1, Name: name},
	} {
		if _, err := e.Change(t.Context(), c); err != nil {
			t.Errorf("%#v: %v", c, err)
		}
	}
}
