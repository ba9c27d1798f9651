package vfs

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/chunk"
	"mirrorfs/meta"
	"mirrorfs/object"
)

// Options says what an FS stands on and how it behaves. Engine and Blocks are
// required; the zero value of everything else works.
type Options struct {
	Engine meta.Engine
	Blocks *chunk.Blocks
	// Home is the site whose bucket new slices go to; 0 means site 1.
	Home uint8
	// HomeNow, if not nil, gives Home anew for each slice: a failover may change it. It is called
	// concurrently, and does not block.
	HomeNow func() uint8
	// Root is the directory that the FS shows as its root; 0 is the volume's.
	Root meta.Ino
	// ReadOnly refuses every change with EROFS, and works without a session.
	ReadOnly bool
	// Session tells other people who this client is.
	Session meta.SessionInfo
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock for times of buffered writes and ages; nil is time.Now.
	Now func() time.Time

	// MetaTimeout bounds one question or change of metadata; default 30 s.
	MetaTimeout time.Duration
	// FlushTimeout bounds the upload of what a flush finds, at most
	// chunk.Options.BufferBytes, and the wait of a write for room in the buffers.
	// It must do for a slow link: a store that is dead is given up by its own,
	// shorter limits. Default 15 minutes.
	FlushTimeout time.Duration
	// FlushAge is how long written data stays buffered without a flush; default 5 s.
	FlushAge time.Duration
	// Atime says when reading changes access times.
	Atime AtimeMode
	// AttrAge is how old known attributes may be where exact ones are not
	// promised: the attributes of a file with buffered data, the absence of
	// extended attributes, the end of a file at the first append; default 1 s.
	AttrAge time.Duration
	// HeartbeatInterval and SessionTTL are those of the contract unless the engine was
	// told otherwise: 12 s and 60 s.
	HeartbeatInterval, SessionTTL time.Duration
	// Buckets, if not nil, is the store of Blocks: at the source, Run deletes the
	// blocks there that nobody needs any more, at most ReclaimRate a second;
	// default 200.
	Buckets     object.Store
	ReclaimRate float64
	// PurgeInterval is how often orphans, freed blocks and dead sessions are cleaned
	// up; default 1 minute.
	PurgeInterval time.Duration
	// BufferedBytes bounds what partial blocks of all files hold before the
	// oldest are flushed to make room; default 128 MiB. Full blocks are bounded by
	// chunk.Options.BufferBytes.
	BufferedBytes int64
	// DirtyExtents is how many separate pieces of one file are buffered before
	// they are flushed behind; default 8192.
	DirtyExtents int
	// ReserveSlices is how many slice numbers are taken per round trip; default 1024.
	ReserveSlices uint32
	// CompactExtents is how long the extent list of a chunk gets before the chunk is
	// rewritten behind, after a commit or, with CompactOnRead, a read has shown it;
	// default 256. Negative is never.
	CompactExtents int
	CompactOnRead  bool
	// CompactBytesPerSecond bounds how fast that is; default 32 MiB.
	CompactBytesPerSecond int
	// CachedInodes is how many closed files are remembered, to tell at the next
	// open whether the kernel's pages are still right; default 16384.
	CachedInodes int
}

// Validate reports what is missing.
func (o *Options) Validate() error {
	if o.Engine == nil {
		return errors.New("vfs: no metadata engine given")
	}
	if o.Blocks == nil {
		return errors.New("vfs: no block storage given")
	}
	return nil
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.Home == 0 {
		o.Home = 1
	}
	if o.Root == 0 {
		o.Root = meta.RootIno
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault(&o.MetaTimeout, 30*time.Second)
	orDefault(&o.FlushTimeout, 15*time.Minute)
	orDefault(&o.FlushAge, 5*time.Second)
	orDefault(&o.AttrAge, time.Second)
	orDefault(&o.PurgeInterval, time.Minute)
	orDefault(&o.ReclaimRate, 200)
	orDefault(&o.HeartbeatInterval, meta.HeartbeatInterval)
	orDefault(&o.SessionTTL, meta.SessionTTL)
	orDefault(&o.BufferedBytes, 128<<20)
	orDefault(&o.DirtyExtents, 8192)
	orDefault(&o.ReserveSlices, 1024)
	orDefault(&o.CachedInodes, 16384)
	if o.CompactExtents == 0 {
		o.CompactExtents = 256
	}
	orDefault(&o.CompactBytesPerSecond, 32<<20)
	return o
}

func orDefault[T int | int64 | uint32 | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
