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
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/object"
)

// StoreOptions says where blocks may be. Homes and Source are needed.
type StoreOptions struct {
	// Near is the bucket at this site, which may hold copies; nil when there is none.
	// It may be one of Homes. It is read first.
	Near object.Store
	// Homes holds the bucket of each site that has one.
	Homes map[uint8]object.Store
	// Feeder is the site whose bucket is read after Near, before an object's home: it is nearer
	// than that. 0 is none.
	Feeder uint8
	// Source is the site whose bucket takes what has no home in its key.
	Source uint8
	// Sites gives Homes again, for sites come, go and get buckets while a store is in
	// use. It is asked when a block is nowhere, and before blocks are deleted, unless
	// that was just done. Nil: Homes stays as it is. It gives the same store for the same
	// bucket.
	Sites func(ctx context.Context) (map[uint8]object.Store, error)
	// Keep, if not nil, puts what is read from afar into Near.
	Keep *KeepOptions
	// Now is the clock; nil is time.Now.
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Store is the data of a volume with several buckets: it reads an object near, then
// from the bucket of its home, then from any other site's, and writes to its home.
// The home is in the key: "data/<site number>/...".
//
// It relies on objects never changing: what one bucket gives, another would.
// ErrNotExist means that every bucket says so. All stores are closed with it.
type Store struct {
	opts    StoreOptions
	layout  atomic.Pointer[layout]
	metrics *storeMetrics
	keep    *keeper // nil: nothing is kept
	quiet   quietBuckets

	mu     sync.Mutex // held while Sites is asked
	asked  time.Time
	opened []object.Store
}

// layout is which buckets there are.
type layout struct {
	homes map[uint8]object.Store
	all   []place // in order of their numbers
}

// place is a bucket and what to call it in errors.
type place struct {
	name  string
	site  uint8 // 0 when it is not known
	store object.Store
	kind  string // of reads, for metrics
}

// The kinds of places, as seen from this site.
const (
	kindNear   = "near"
	kindHome   = "home"
	kindFeeder = "feeder" // of the mirror that feeds this one
	kindOther  = "other"
)

var _ object.Store = (*Store)(nil)

// NewStore makes a store.
func NewStore(opts StoreOptions) (*Store, error) {
	if opts.Homes[opts.Source] == nil {
		return nil, fmt.Errorf("mirror store: site %d, the source, has no bucket", opts.Source)
	}
	if opts.Keep != nil && opts.Near == nil {
		return nil, errors.New("mirror store: there is no bucket to keep anything in")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m, err := newStoreMetrics(opts.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, metrics: m}
	if opts.Near != nil {
		s.opened = append(s.opened, opts.Near)
	}
	s.use(opts.Homes)
	if opts.Keep != nil {
		s.keep = newKeeper(s, *opts.Keep)
	}
	return s, nil
}

// use takes up buckets. Those that were there stay open until Close: somebody may be
// reading from them.
func (s *Store) use(homes map[uint8]object.Store) {
	l := &layout{homes: maps.Clone(homes)}
	for _, site := range slices.Sorted(maps.Keys(homes)) {
		store := homes[site]
		l.all = append(l.all, place{name: "site " + strconv.Itoa(int(site)), site: site, store: store, kind: kindOther})
		if !slices.Contains(s.opened, store) {
			s.opened = append(s.opened, store)
		}
	}
	s.layout.Store(l)
}

// Ages of what is known of the sites, after which it is asked again: when a block is
// nowhere, and before one is deleted.
const (
	sitesAgeRead   = time.Second
	sitesAgeDelete = 10 * time.Second
)

// refresh asks for the sites' buckets unless that was done lately.
func (s *Store) refresh(ctx context.Context, age time.Duration) error {
	if s.opts.Sites == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked.IsZero() && s.opts.Now().Sub(s.asked) < age {
		return nil
	}
	homes, err := s.opts.Sites(ctx)
	if err != nil {
		return fmt.Errorf("which buckets there are: %w", err)
	}
	s.asked = s.opts.Now()
	if homes[s.opts.Source] == nil {
		return fmt.Errorf("mirror store: site %d has no bucket any more", s.opts.Source)
	}
	s.use(homes)
	return nil
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
	l := s.layout.Load()
	site, ok := homeOf(key)
	if !ok || l.homes[site] == nil {
		site = s.opts.Source
	}
	return place{name: "site " + strconv.Itoa(int(site)), store: l.homes[site], kind: kindHome}
}

// places gives the buckets that may hold a key, each once, in the order of asking.
func (s *Store) places(key string) []place {
	list := make([]place, 0, 4)
	if s.opts.Near != nil {
		list = append(list, place{name: "near", store: s.opts.Near, kind: kindNear})
	}
	add := func(p place) {
		i := slices.IndexFunc(list, func(q place) bool { return q.store == p.store })
		switch {
		case i < 0:
			list = append(list, p)
		case list[i].name == "near": // is a site's
			list[i].name = "near, " + p.name
		}
	}
	all := s.layout.Load().all
	if i := slices.IndexFunc(all, func(p place) bool { return p.site == s.opts.Feeder }); i >= 0 {
		fed := all[i]
		fed.kind = kindFeeder
		add(fed)
	}
	add(s.home(key))
	for _, p := range all {
		add(p)
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
	for places := s.places(key); len(places) > 0; places = s.others(ctx, key, &f) {
		for _, p := range places {
			info, err := p.store.Head(ctx, key)
			if err == nil {
				return info, nil
			}
			f.add(p, err)
			if ctx.Err() != nil {
				return object.Info{}, f.err()
			}
		}
	}
	return object.Info{}, f.err()
}

// List lists the bucket of the prefix's home, or of the source when the prefix
// names none.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]object.Info, error) {
	p := s.home(prefix)
	list, err := p.store.List(ctx, prefix, after, limit)
	return list, blame(p, prefix, err)
}

// Close waits for what is being kept, and closes all buckets.
func (s *Store) Close() error {
	if s.keep != nil {
		s.keep.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, store := range s.opened {
		errs = append(errs, store.Close())
	}
	return errors.Join(errs...)
}
