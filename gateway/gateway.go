package gateway

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// Options says what a Gateway stands on. FS is required; the zero value of everything else works.
type Options struct {
	FS *vfs.FS
	// Bucket is the name of the one bucket that the volume is then; empty makes each directory at the
	// top whose name can be a bucket's one.
	Bucket string
	// UID and GID own what is made, FileMode and DirMode are its permission bits; default 0644 and 0755.
	UID, GID          uint32
	FileMode, DirMode uint32
	Logger            *slog.Logger
	// Now is the clock for the ages of what was left behind; nil is time.Now.
	Now func() time.Time
	// CleanInterval is how often Run looks for what was left behind; default 1 hour.
	CleanInterval time.Duration
	// TempAge is after what time without a write a body that never became an object is removed; default
	// 24 h. UploadAge is how old an upload in parts gets; default 7 days.
	TempAge, UploadAge time.Duration
	// WaitTimeout bounds WaitFor; default 30 s.
	WaitTimeout time.Duration
}

// Validate reports what is wrong.
func (o *Options) Validate() error {
	if o.FS == nil {
		return errors.New("gateway: no file system given")
	}
	if o.Bucket != "" && !isBucketName(o.Bucket) {
		return fmt.Errorf("gateway: %q cannot be the name of a bucket", o.Bucket)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.FileMode == 0 {
		o.FileMode = 0o644
	}
	if o.DirMode == 0 {
		o.DirMode = 0o755
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&o.CleanInterval, time.Hour},
		{&o.TempAge, 24 * time.Hour},
		{&o.UploadAge, 7 * 24 * time.Hour},
		{&o.WaitTimeout, 30 * time.Second},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	return o
}

// Gateway is a volume as buckets and objects.
type Gateway struct {
	opts  Options
	fs    *vfs.FS
	log   *slog.Logger
	seed  maphash.Seed
	keys  [keyLocks]sync.Mutex
	tmp   ownDir
	parts ownDir
	kick  chan struct{} // asks Run to look at once
}

var _ API = (*Gateway)(nil)

// keyLocks is how many locks there are for keys. Two keys that share one only wait for each other.
const keyLocks = 256

// New makes a Gateway. It starts nothing and asks nothing.
func New(opts Options) (*Gateway, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	return &Gateway{
		opts: opts, fs: opts.FS, log: opts.Logger, seed: maphash.MakeSeed(),
		tmp: ownDir{name: "tmp"}, parts: ownDir{name: "uploads"},
		kick: make(chan struct{}, 1),
	}, nil
}

// lock keeps others of this gateway from changing what a key names, until the function it gives is called.
func (g *Gateway) lock(n Name) func() {
	var h maphash.Hash
	h.SetSeed(g.seed)
	_, _ = h.WriteString(n.Bucket)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(n.Key)
	mu := &g.keys[h.Sum64()%keyLocks]
	mu.Lock()
	return mu.Unlock
}

// single says that the volume is one bucket.
func (g *Gateway) single() bool { return g.opts.Bucket != "" }

// Position implements API.
func (g *Gateway) Position() meta.Position { return g.fs.LastChange() }

// WaitFor implements API.
func (g *Gateway) WaitFor(ctx context.Context, at meta.Position) error {
	ctx, cancel := context.WithTimeout(ctx, g.opts.WaitTimeout)
	defer cancel()
	if err := g.fs.WaitFor(ctx, at); err != nil {
		return fail("wait", Name{}, err)
	}
	return nil
}

// place is where a key leads.
type place struct {
	path
	names []string // of all components from the root that the gateway shows
	nodes []meta.Node
	own   int // how many of names are the bucket's
}

// locate follows a key in one round trip. It is no error when the object, or directories above it, are
// missing.
func (g *Gateway) locate(ctx context.Context, n Name) (*place, error) {
	p, err := parsePath(n.Key, g.single())
	if err != nil {
		return nil, err
	}
	pl := &place{path: p}
	if g.single() {
		if n.Bucket != g.opts.Bucket {
			return nil, refuse(NoSuchBucket)
		}
	} else {
		if !isBucketName(n.Bucket) {
			return nil, refuse(InvalidBucketName)
		}
		pl.names, pl.own = append(pl.names, n.Bucket), 1
	}
	pl.names = append(append(pl.names, p.dirs...), p.name)
	return pl, g.follow(ctx, pl)
}

// follow asks where the components of a place are now.
func (g *Gateway) follow(ctx context.Context, pl *place) (err error) {
	full := path{dirs: pl.names[:len(pl.names)-1], name: pl.names[len(pl.names)-1]}
	pl.nodes, err = g.fs.Resolve(ctx, g.fs.Root(), full.String())
	missing := errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
	if missing && len(pl.nodes) < pl.own || len(pl.nodes) > 0 && pl.own > 0 && !pl.nodes[0].Attr.IsDir() {
		return refuse(NoSuchBucket)
	}
	if missing {
		return nil
	}
	return err
}

// found reports whether all components are there, as what the key says: a directory if and only if it
// ends with a slash, a regular file otherwise.
func (p *place) found() bool {
	if len(p.nodes) < len(p.names) {
		return false
	}
	a := &p.node().Attr
	return p.dir && a.IsDir() || !p.dir && a.IsFile()
}

// node is the last component that is there.
func (p *place) node() *meta.Node { return &p.nodes[len(p.nodes)-1] }

// obstacle says what stands where the object would have to be made.
func (p *place) obstacle() error {
	for i := range p.nodes {
		a := &p.nodes[i].Attr
		switch {
		case i < len(p.names)-1 && !a.IsDir():
			return refuse(ParentIsFile)
		case i == len(p.names)-1 && p.dir != a.IsDir():
			if p.dir {
				return refuse(ParentIsFile)
			}
			return refuse(IsDirectory)
		}
	}
	return nil
}

// find follows a key to an object that is there, NoSuchKey otherwise.
func (g *Gateway) find(ctx context.Context, n Name) (*place, stored, error) {
	pl, err := g.locate(ctx, n)
	if k := KindOf(err); err != nil && (k == InvalidKey || k == KeyTooLong) {
		return nil, stored{}, refuse(NoSuchKey) // nothing has that name
	}
	if err != nil {
		return nil, stored{}, err
	}
	if !pl.found() {
		return nil, stored{}, refuse(NoSuchKey)
	}
	s, err := g.stored(ctx, pl.node())
	if errors.Is(err, syscall.ENOENT) || pl.dir && !s.there {
		err = refuse(NoSuchKey)
	}
	return pl, s, err
}
