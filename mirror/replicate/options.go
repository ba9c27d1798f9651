package replicate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// Site is the metadata whose log is followed.
type Site interface {
	State(ctx context.Context) (meta.State, error)
	Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error)
	Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error)
	Known(ctx context.Context, slices []uint64) ([]bool, error)
	SetLocal(ctx context.Context, values map[string]string) error
	Local(ctx context.Context) (map[string]string, error)
	meta.Reader
}

// Object is one of a slice's.
type Object struct {
	Key   string
	Bytes int64
}

// Options say what is copied, and to where. Name, Site, From, To and Objects are needed.
type Options struct {
	// Name is of the fact of the site that keeps how far the copying is.
	Name string
	Site Site
	// From gives the blocks. If it has several copies of one (Copies), others are
	// asked when one's bytes are wrong.
	From object.Store
	To   object.Store
	// Wants chooses slices; nil wants all.
	Wants func(meta.Slice) bool
	// Subtree, if not empty, is the path of a directory, and only data of files below
	// it is copied, of what moves there as well.
	Subtree string
	// Objects tells what a slice is stored as.
	Objects func(meta.Slice) []Object
	// Check finds wrong bytes; nil takes all that have the right length.
	Check func(key string, data []byte) error

	// Jobs is how many objects are copied at a time; default 16.
	Jobs int
	// BufferBytes bounds the bytes in memory, but for one object; default 128 MiB.
	BufferBytes int64
	// WindowObjects is how many objects that are not copied yet are known at most;
	// default 100,000, some 20 MB.
	WindowObjects int
	// Limit, if not nil, is taken from for each byte that is fetched. Its burst must be
	// at least FetchBytes.
	Limit *rate.Limiter
	// TailWait is how long the site holds a request for records that do not exist yet;
	// default 1 s.
	TailWait time.Duration
	// SaveInterval is how often the state is kept, if it changed; default 1 s.
	SaveInterval time.Duration
	// RetryInterval is after which what could not be copied is tried again; default 5 s.
	RetryInterval time.Duration

	Logger  *slog.Logger
	Metrics *Metrics // nil counts nothing
}

// FetchBytes is what is taken from a limit at a time.
const FetchBytes = 64 << 10

func (o *Options) setDefaults() error {
	if o.Name == "" || o.Site == nil || o.From == nil || o.To == nil || o.Objects == nil {
		return errors.New("replicate: Name, Site, From, To and Objects are needed")
	}
	if o.Limit != nil && o.Limit.Burst() < FetchBytes {
		return errors.New("replicate: the limit's burst is too small")
	}
	if o.Wants == nil {
		o.Wants = func(meta.Slice) bool { return true }
	}
	orDefault(&o.Jobs, 16)
	orDefault(&o.BufferBytes, 128<<20)
	orDefault(&o.WindowObjects, 100_000)
	orDefault(&o.TailWait, time.Second)
	orDefault(&o.SaveInterval, time.Second)
	orDefault(&o.RetryInterval, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
