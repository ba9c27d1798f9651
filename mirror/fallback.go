package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mirrorfs/object"
)

// StoreOptions says where blocks may be. Homes and Source are needed.
type StoreOptions struct {
	// Near is a bucket at this site that may hold copies; nil when there is none.
	// It is read first, and written only by PutCopy.
	Near object.Store
	// Homes holds the bucket of each site that has one.
	Homes map[uint8]object.Store
	// Source is the site whose bucket takes what has no home in its key.
	Source uint8
	Logger *slog.Logger
}

// Store is the data of a mirror's clients: it reads an object near, then from
// the bucket of its home, then from any other site's, and writes to its home.
// The home is in the key: "data/<site number>/...".
//
// It relies on objects never changing: what one bucket gives, another would.
// ErrNotExist means that every bucket says so. All stores are closed with it.
type Store struct {
	opts StoreOptions
	all  []place // homes in order of their numbers
}

// place is a bucket and what to call it in errors.
type place struct {
	name  string
	store object.Store
}

var _ object.Store = (*Store)(nil)

// NewStore makes a mirror's store.
func NewStore(opts StoreOptions) (*Store, error) {
	if opts.Homes[opts.Source] == nil {
		return nil, fmt.Errorf("mirror store: site %d, the source, has no bucket", opts.Source)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: opts}
	for _, site := range slices.Sorted(maps.Keys(opts.Homes)) {
		s.all = append(s.all, place{name: "site " + strconv.Itoa(int(site)), store: opts.Homes[site]})
	}
	return s, nil
}

// homeOf reads the home from a key or a prefix of keys.
func homeOf(key string) (uint8, bool) {
	rest, ok := strings.CutPrefix(key, "data/")
	if !ok {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, "/")
	site, err := strconv.ParseUint(number, 10, 8)
	return uint8(site), ok && err == nil
}

// home is the bucket that a key belongs to.
func (s *Store) home(key string) place {
	site, ok := homeOf(key)
	if !ok || s.opts.Homes[site] == nil {
		site = s.opts.Source
	}
	return place{name: "site " + strconv.Itoa(int(site)), store: s.opts.Homes[site]}
}

// places gives the buckets that may hold a key, in the order of asking.
func (s *Store) places(key string) []place {
	var list []place
	if s.opts.Near != nil {
		list = append(list, place{name: "near", store: s.opts.Near})
	}
	home := s.home(key)
	list = append(list, home)
	for _, p := range s.all {
		if p.store != home.store {
			list = append(list, p)
		}
	}
	return list
}

// String lists the buckets.
func (s *Store) String() string {
	var names []string
	for _, p := range s.places("") {
		names = append(names, p.store.String())
	}
	return strings.Join(names, " or ")
}

// Put writes to the key's home.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	p := s.home(key)
	return blame(p, key, p.store.Put(ctx, key, data))
}

// PutIfAbsent writes to the key's home.
func (s *Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	p := s.home(key)
	return blame(p, key, p.store.PutIfAbsent(ctx, key, data))
}

// blame says at which site something failed.
func blame(p place, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at %s: %w", key, p.name, err)
}

// failures collects what each bucket said about a key.
type failures struct {
	key  string
	errs []error
	miss int // how many of them are ErrNotExist
}

func (f *failures) add(p place, err error) {
	if errors.Is(err, object.ErrNotExist) {
		f.miss++
	}
	f.errs = append(f.errs, fmt.Errorf("%s: %w", p.name, err))
}

// err names the key and every bucket. It is ErrNotExist only when all said so.
func (f *failures) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	if f.miss == len(f.errs) {
		return fmt.Errorf("%s: %w", f.key, errors.Join(f.errs...))
	}
	var said []string
	var causes []error
	for _, err := range f.errs {
		said = append(said, err.Error())
		if !errors.Is(err, object.ErrNotExist) {
			causes = append(causes, err)
		}
	}
	return &unavailable{text: fmt.Sprintf("%s cannot be had: %s", f.key, strings.Join(said, "; ")), causes: causes}
}

// unavailable hides the ErrNotExist of some buckets: others may have the object.
type unavailable struct {
	text   string
	causes []error
}

func (e *unavailable) Error() string   { return e.text }
func (e *unavailable) Unwrap() []error { return e.causes }

// Get opens the object wherever it is. When reading fails midway, it goes on at
// the next bucket.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b := &body{ctx: ctx, store: s, key: key, off: off, n: n, places: s.places(key)}
	b.failed.key = key
	if err := b.next(); err != nil {
		return nil, err
	}
	return b, nil
}

// body reads an object from one bucket after the other.
type body struct {
	ctx    context.Context //nolint:containedctx // of the Get that this is the answer of; a reader has no other way to be cancelled
	store  *Store
	key    string
	off, n int64 // what is left to read; n < 0 is all
	places []place
	at     place
	open   io.ReadCloser
	failed failures
}

// next opens the rest at the next bucket that has it.
func (b *body) next() error {
	for len(b.places) > 0 {
		b.at, b.places = b.places[0], b.places[1:]
		r, err := b.at.store.Get(b.ctx, b.key, b.off, b.n)
		if err == nil {
			b.open = r
			return nil
		}
		b.failed.add(b.at, err)
		if b.ctx.Err() != nil {
			break
		}
	}
	err := b.failed.err()
	if b.ctx.Err() == nil {
		b.store.opts.Logger.ErrorContext(b.ctx, "a block is at no site that could be asked", slog.String("key", b.key), slog.Any("error", err))
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.n == 0 {
			return 0, io.EOF
		}
		n, err := b.open.Read(p)
		b.off += int64(n)
		if b.n > 0 {
			b.n -= int64(n)
		}
		if err == nil || errors.Is(err, io.EOF) {
			return n, err
		}
		b.failed.add(b.at, err)
		_ = b.open.Close()
		if err := b.next(); err != nil {
			b.open = io.NopCloser(strings.NewReader(""))
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error { return b.open.Close() }

// Copies is how many buckets may hold a key. With GetCopy and PutCopy it lets
// those who can tell right bytes from wrong look for right ones at each, and put
// them where they are wrong.
func (s *Store) Copies(key string) int { return len(s.places(key)) }

// GetCopy reads from one bucket, the nth that Get asks.
func (s *Store) GetCopy(ctx context.Context, key string, nth int, off, n int64) (io.ReadCloser, error) {
	p := s.places(key)[nth]
	r, err := p.store.Get(ctx, key, off, n)
	return r, blame(p, key, err)
}

// PutCopy writes to one bucket, the nth that Get asks.
func (s *Store) PutCopy(ctx context.Context, key string, nth int, data []byte) error {
	p := s.places(key)[nth]
	return blame(p, key, p.store.Put(ctx, key, data))
}

// Head describes the object wherever it is.
func (s *Store) Head(ctx context.Context, key string) (object.Info, error) {
	f := failures{key: key}
	for _, p := range s.places(key) {
		info, err := p.store.Head(ctx, key)
		if err == nil {
			return info, nil
		}
		f.add(p, err)
		if ctx.Err() != nil {
			break
		}
	}
	return object.Info{}, f.err()
}

// Delete removes the object from every bucket.
func (s *Store) Delete(ctx context.Context, key string) error {
	var errs []error
	for _, p := range s.places(key) {
		if err := p.store.Delete(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

// List lists the bucket of the prefix's home, or of the source when the prefix
// names none.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	p := s.home(prefix)
	list, err := p.store.List(ctx, prefix, after, limit)
	return list, blame(p, prefix, err)
}

// Close closes all buckets.
func (s *Store) Close() error {
	var errs []error
	for _, p := range s.places("") {
		errs = append(errs, p.store.Close())
	}
	return errors.Join(errs...)
}
