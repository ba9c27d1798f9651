package chunk_test

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// home is the site of all slices in these tests.
const home = 3

// store is a bucket in memory that counts requests and lets a test interfere.
type store struct {
	object.Store

	mu        sync.Mutex
	gets      int
	got       int64 // bytes asked for, of ranges
	whole     int   // gets without a range
	puts      int
	beforePut func(ctx context.Context, key string) error
	beforeGet func(ctx context.Context, key string) error
	replaced  func()
}

func newStore(t *testing.T) *store {
	t.Helper()
	return &store{Store: mem.New(t.Name())}
}

func (s *store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	s.mu.Lock()
	s.puts++
	before := s.beforePut
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx, key); err != nil {
			return err
		}
	}
	return s.Store.PutIfAbsent(ctx, key, data)
}

func (s *store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.gets++
	if n < 0 {
		s.whole++
	} else {
		s.got += n
	}
	before := s.beforeGet
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx, key); err != nil {
			return nil, err
		}
	}
	return s.Store.Get(ctx, key, off, n)
}

// Put is not used for blocks, but to replace a copy.
func (s *store) Put(ctx context.Context, key string, data []byte) error {
	err := s.Store.Put(ctx, key, data)
	s.mu.Lock()
	replaced := s.replaced
	s.mu.Unlock()
	if replaced != nil {
		replaced()
	}
	return err
}

// onReplace sets what is called after each Put.
func (s *store) onReplace(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaced = f
}

// onPut and onGet set what is called before each request.
func (s *store) onPut(f func(ctx context.Context, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforePut = f
}

func (s *store) onGet(f func(ctx context.Context, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforeGet = f
}

type counts struct {
	gets, whole, puts int
	got               int64
}

// counts gives the requests since the last call.
func (s *store) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := counts{s.gets, s.whole, s.puts, s.got}
	s.gets, s.whole, s.puts, s.got = 0, 0, 0, 0
	return c
}

// object gives the bytes of an object.
func (s *store) object(t *testing.T, key string) []byte {
	t.Helper()
	r, err := s.Store.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newBlocks(t *testing.T, s object.Store, c chunk.Cache, opts chunk.Options) *chunk.Blocks {
	t.Helper()
	b, err := chunk.New(s, c, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// noise is random bytes; their number is no multiple of anything.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20+4099)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// random gives n bytes that depend on seed, and differ from page to page.
func random(seed uint64, n int) []byte {
	b := make([]byte, 0, n)
	for from := int(seed * 7919 % 1_000_003); len(b) < n; from = 0 {
		b = append(b, noise()[from:min(len(noise()), from+n-len(b))]...)
	}
	for page := 0; page+8 <= n; page += 4096 {
		binary.LittleEndian.PutUint64(b[page:], seed^uint64(page)<<32)
	}
	return b
}

// write stores data as a slice.
func write(t *testing.T, b *chunk.Blocks, slice uint64, data []byte) {
	t.Helper()
	w := b.NewWriter(slice, home, nil)
	for off := 0; off < len(data); off += 1 << 20 {
		if _, err := w.Write(t.Context(), data[off:min(off+1<<20, len(data))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// gather copies what spans hold, and releases them.
func gather(t *testing.T, spans []chunk.Span) []byte {
	t.Helper()
	var out []byte
	for i := range spans {
		p := make([]byte, spans[i].Len)
		if n, err := spans[i].ReadAt(p, 0); n != len(p) || err != nil {
			t.Fatalf("read span: %d of %d bytes, %v", n, len(p), err)
		}
		out = append(out, p...)
	}
	chunk.ReleaseAll(spans)
	return out
}

// segment is all of a slice of n bytes.
func segment(slice uint64, n int) chunk.Segment {
	return chunk.Segment{Slice: slice, Home: home, Size: uint32(n), Len: uint32(n)}
}

// part is n bytes at off of a slice of size bytes.
func part(slice uint64, size, off, n int) chunk.Segment {
	return chunk.Segment{Slice: slice, Home: home, Size: uint32(size), Off: uint32(off), Len: uint32(n)}
}

func read(t *testing.T, b *chunk.Blocks, segs ...chunk.Segment) []byte {
	t.Helper()
	spans, err := b.Read(t.Context(), segs)
	if err != nil {
		t.Fatal(err)
	}
	return gather(t, spans)
}
