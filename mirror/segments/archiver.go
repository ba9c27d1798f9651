package segments

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// Log is what an Archiver is told by and tells the source's metadata.
type Log interface {
	meta.Source
	meta.Claims
}

// Options say what an Archiver works on. Log and Bucket are needed.
type Options struct {
	Log Log
	// Bucket is the source's.
	Bucket object.Store
	// Bytes is how many bytes of records make a segment that is stored at once; default
	// 2 MiB, at most meta.MaxRecordBytes.
	Bytes int
	// Age is how old a record becomes before it is stored in a segment that is not full;
	// default 5 minutes. It is how much of the log is lost with the metadata server.
	Age time.Duration
	// Settle is how old a record becomes before it is stored at all: longer than what the
	// metadata server may lose in a crash, for a log that lost its tail and went on differs from
	// what was stored; default 5 seconds.
	Settle time.Duration
	// Patient leaves full segments too until their first record has that age: for a client that is
	// far from the source, and does the work only when no other does.
	Patient bool
	// ExpireInterval is how often old segments are looked for; default 10 minutes.
	ExpireInterval time.Duration
	// Lease is how long another archiver leaves the work to this one after its last sign of
	// life; default 1 minute.
	Lease time.Duration
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Archiver copies a source's log into segments. It is used by one goroutine.
type Archiver struct {
	opts    Options
	name    string    // in claims
	expired time.Time // when old segments were looked for
}

// claimName is the claim of the archiver at work.
const claimName = "archive"

// NewArchiver makes one. It starts nothing.
func NewArchiver(opts Options) (*Archiver, error) {
	if opts.Log == nil || opts.Bucket == nil {
		return nil, errors.New("archiver: Log and Bucket are needed")
	}
	orDefault(&opts.Bytes, 2<<20)
	opts.Bytes = min(opts.Bytes, meta.MaxRecordBytes)
	orDefault(&opts.Age, 5*time.Minute)
	orDefault(&opts.Settle, 5*time.Second)
	orDefault(&opts.ExpireInterval, 10*time.Minute)
	orDefault(&opts.Lease, time.Minute)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Archiver{opts: opts, name: rand.Text()}, nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Report tells what a round did.
type Report struct {
	Segments int   `json:"segments"` // written
	Records  int   `json:"records"`  // in them
	Bytes    int64 `json:"bytes"`    // of them as stored
	Expired  int   `json:"expired"`  // segments deleted
	// Busy says that another archiver is at work, and this one did nothing.
	Busy bool `json:"busy"`
}

// Round stores what is due, and deletes what has expired. At a site that is no source it does
// nothing.
func (a *Archiver) Round(ctx context.Context) (Report, error) {
	return a.round(ctx, a.opts.Age, a.opts.Settle)
}

// Flush is a Round that stores everything.
func (a *Archiver) Flush(ctx context.Context) (Report, error) { return a.round(ctx, 0, 0) }

func (a *Archiver) round(ctx context.Context, age, settle time.Duration) (r Report, err error) {
	v, err := a.opts.Log.Volume(ctx)
	if err != nil {
		return r, err
	}
	state, err := a.opts.Log.State(ctx)
	if err != nil || state.Role != meta.RoleSource {
		return r, err
	}
	at, err := a.opts.Log.Archived(ctx)
	if err != nil || v.LogKeep == 0 && at == (meta.Archived{}) {
		return r, err
	}
	if mine, err := a.opts.Log.Claim(ctx, claimName, a.name, a.opts.Lease); err != nil || !mine {
		r.Busy = err == nil
		return r, err
	}
	defer func() { err = errors.Join(err, a.opts.Log.Unclaim(context.WithoutCancel(ctx), claimName, a.name)) }()
	if v.LogKeep > 0 {
		encoder, err := newEncoder() // of this round: a client keeps no memory for it between rounds
		if err != nil {
			return r, err
		}
		now := a.opts.Now()
		w := &writer{
			Archiver: a, encoder: encoder, volume: &v, report: &r, at: at, end: at, limit: firstLimit,
			due: now.Add(-age), settled: now.Add(-settle),
		}
		if err := w.copy(ctx); err != nil {
			return r, err
		}
	}
	return r, a.expire(ctx, &v, at, &r)
}

// expire deletes old segments. A volume that keeps no log any more loses all of them.
func (a *Archiver) expire(ctx context.Context, v *meta.Volume, at meta.Archived, r *Report) error {
	now := a.opts.Now()
	if v.LogKeep > 0 && now.Sub(a.expired) < a.opts.ExpireInterval {
		return nil
	}
	archive := &Archive{prefix: Prefix(v.ID)}
	before := now.Add(-v.LogKeep)
	if v.LogKeep == 0 {
		before = now.Add(forever)
	}
	n, err := archive.expire(ctx, a.opts.Bucket, before)
	r.Expired = n
	if n > 0 {
		a.opts.Logger.InfoContext(ctx, "segments of the log expired", slog.Int("segments", n))
	}
	if err != nil {
		return err
	}
	a.expired = now
	if v.LogKeep == 0 {
		return a.opts.Log.SetArchived(ctx, at, meta.Archived{})
	}
	return nil
}

// forever is later than any clock is wrong.
const forever = 1000 * time.Hour
