package vfs_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/meta/model"
	"mirrorfs/object"
	"mirrorfs/object/mem"
	"mirrorfs/vfs"
)

// meter is an engine that counts round trips and fails on demand.
type meter struct {
	meta.Engine
	mu    sync.Mutex
	calls map[string]int
	// fail, if not nil, is asked before each call; hold after each change was made.
	fail func(op string) error
	hold func(op string)
	// lose says whether the reply to a change that was made is lost.
	lose func(op string) bool
}

func (m *meter) count(op string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[op]++
	if m.fail != nil {
		return m.fail(op)
	}
	return nil
}

func (m *meter) failWith(f func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *meter) Lookup(ctx context.Context, parent meta.Ino, name string) (meta.Node, error) {
	if err := m.count("lookup"); err != nil {
		return meta.Node{}, err
	}
	return m.Engine.Lookup(ctx, parent, name)
}

func (m *meter) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	if err := m.count("getattr"); err != nil {
		return meta.Node{}, err
	}
	return m.Engine.GetAttr(ctx, ino)
}

func (m *meter) ReadDir(ctx context.Context, dir meta.Ino, after string, limit int) (meta.Page, error) {
	if err := m.count("readdir"); err != nil {
		return meta.Page{}, err
	}
	return m.Engine.ReadDir(ctx, dir, after, limit)
}

func (m *meter) Extents(ctx context.Context, ino meta.Ino, first uint32, count int) (meta.Node, []meta.ChunkExtents, error) {
	if err := m.count("extents"); err != nil {
		return meta.Node{}, nil, err
	}
	return m.Engine.Extents(ctx, ino, first, count)
}

func (m *meter) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	if err := m.count("getxattr"); err != nil {
		return nil, err
	}
	return m.Engine.GetXattr(ctx, ino, name)
}

func (m *meter) QuotasAt(ctx context.Context, ino meta.Ino) ([]meta.Quota, error) {
	if err := m.count("quotasat"); err != nil {
		return nil, err
	}
	return m.Engine.QuotasAt(ctx, ino)
}

func (m *meter) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	op := c.Op().String()
	if err := m.count(op); err != nil {
		return meta.Result{}, err
	}
	res, err := m.Engine.Change(ctx, c)
	if m.hold != nil {
		m.hold(op)
	}
	if err == nil && m.lose != nil && m.lose(op) {
		return meta.Result{}, &meta.Error{Op: op, Errno: syscall.EIO, Err: meta.ErrUnreachable}
	}
	return res, err
}

func (m *meter) Heartbeat(ctx context.Context, open []meta.Ino) error {
	if err := m.count("heartbeat"); err != nil {
		return err
	}
	return m.Engine.Heartbeat(ctx, open)
}

// Orphans, Orphan and Sessions are meta.Purger's.
func (m *meter) Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) ([]meta.Orphan, error) {
	return m.Engine.(meta.Purger).Orphans(ctx, after, before, limit)
}

func (m *meter) Orphan(ctx context.Context, ino meta.Ino) (meta.Orphan, error) {
	return m.Engine.(meta.Purger).Orphan(ctx, ino)
}

func (m *meter) Sessions(ctx context.Context) ([]meta.Session, error) {
	return m.Engine.(meta.Purger).Sessions(ctx)
}

// take gives the counts since the last take, as "commit:1 create:1".
func (m *meter) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var parts []string
	for _, op := range slices.Sorted(maps.Keys(m.calls)) {
		parts = append(parts, fmt.Sprintf("%s:%d", op, m.calls[op]))
	}
	clear(m.calls)
	return strings.Join(parts, " ")
}

// gate is a store that counts puts and fails on demand.
type gate struct {
	object.Store
	mu   sync.Mutex
	puts int
	fail func(key string) error
}

func (g *gate) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	g.mu.Lock()
	g.puts++
	fail := g.fail
	g.mu.Unlock()
	if fail != nil {
		if err := fail(key); err != nil {
			return err
		}
	}
	return g.Store.PutIfAbsent(ctx, key, data)
}

func (g *gate) failWith(f func(key string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

func (g *gate) takePuts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.puts
	g.puts = 0
	return n
}

// rig is an FS on the reference model and a store in memory.
type rig struct {
	testing.TB
	model  *model.Engine
	meter  *meter
	store  *gate
	blocks *chunk.Blocks
	fs     *vfs.FS
	log    *logs
}

// logs is what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRig makes a volume and an FS on it, with slice numbers already at hand.
func newRig(t testing.TB, opts vfs.Options) *rig {
	t.Helper()
	r := &rig{TB: t, model: model.New(meta.Volume{Name: "t"}, nil), store: &gate{Store: mem.New("t")}}
	r.mount(opts)
	return r
}

// mount gives the rig another FS of the same volume.
func (r *rig) mount(opts vfs.Options) {
	r.Helper()
	blocks, err := chunk.New(r.store, nil, chunk.Options{BlockBytes: 1 << 20})
	r.ok(err)
	r.log = &logs{}
	r.meter = &meter{Engine: r.model.Client(), calls: map[string]int{}}
	opts.Engine, opts.Blocks, opts.Logger = r.meter, blocks, slog.New(slog.NewTextHandler(r.log, nil))
	fs, err := vfs.New(opts)
	r.ok(err)
	r.fs, r.blocks = fs, blocks
	r.Cleanup(func() {
		r.meter.failWith(nil)
		r.store.failWith(nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = fs.Shutdown(ctx) // tests that care call it themselves
		_ = blocks.Close()
	})
	if !opts.ReadOnly {
		r.warm()
	}
}

// warm takes slice numbers ahead, which Run does otherwise.
func (r *rig) warm() {
	r.Helper()
	f := r.create("warm")
	r.write(f, []byte("x"), 0)
	r.closes(f)
	r.ok(r.fs.Unlink(r.Context(), meta.Unlink{Parent: meta.RootIno, Name: "warm"}))
	r.meter.take()
	r.store.takePuts()
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("unexpected error: %v", err)
	}
}

func (r *rig) fails(err error, errno syscall.Errno) {
	r.Helper()
	if err == nil || meta.Errno(err) != errno {
		r.Fatalf("error is %v, want %v", err, errno)
	}
}

// trips checks which round trips were made since it was called last.
func (r *rig) trips(want string) {
	r.Helper()
	if got := r.meter.take(); got != want {
		r.Fatalf("round trips: %q, want %q", got, want)
	}
}

func (r *rig) create(name string) *vfs.File {
	r.Helper()
	_, f, err := r.fs.Create(r.Context(), meta.Make{Parent: meta.RootIno, Name: name, Mode: 0o644}, syscall.O_RDWR|syscall.O_EXCL)
	r.ok(err)
	return f
}

func (r *rig) open(name string, flags uint32) *vfs.File {
	r.Helper()
	n, err := r.fs.Lookup(r.Context(), meta.RootIno, name)
	r.ok(err)
	f, err := r.fs.Open(r.Context(), n.Ino, flags)
	r.ok(err)
	return f
}

func (r *rig) write(f *vfs.File, p []byte, off int64) {
	r.Helper()
	n, err := f.Write(r.Context(), p, off)
	r.ok(err)
	if n != len(p) {
		r.Fatalf("wrote %d bytes of %d", n, len(p))
	}
}

func (r *rig) closes(f *vfs.File) {
	r.Helper()
	r.ok(f.Flush(r.Context()))
	f.Release()
}

func (r *rig) put(name string, p []byte) {
	r.Helper()
	f := r.create(name)
	r.write(f, p, 0)
	r.closes(f)
}

func (r *rig) tryRead(f *vfs.File, off int64, n int) ([]byte, error) {
	spans, err := f.Read(r.Context(), off, n)
	if err != nil {
		return nil, err
	}
	defer chunk.ReleaseAll(spans)
	var got []byte
	for i := range spans {
		got = append(got, spans[i].Data...)
	}
	return got, nil
}

func (r *rig) holds(f *vfs.File, want []byte) {
	r.Helper()
	got, err := r.tryRead(f, 0, len(want)+10)
	r.ok(err)
	if !bytes.Equal(got, want) {
		r.Fatalf("file holds %d bytes other than the %d expected", len(got), len(want))
	}
}

// fill is n bytes that differ by seed.
func fill(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed + byte(i*7) + byte(i>>8)
	}
	return p
}
