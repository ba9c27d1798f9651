package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"mirrorfs/meta"
	"mirrorfs/object"
)

// works copies objects until ctx ends.
func (r *Replicator) works(ctx context.Context) {
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-r.tasks:
			err := r.copy(ctx, t)
			if err == nil {
				wait = 0
				r.window.done(t)
				r.room.Release(1)
				continue
			}
			if ctx.Err() != nil {
				return
			}
			r.failed(ctx, t, err)
			if errors.Is(err, object.ErrNotExist) {
				continue // of this one only
			}
			// A bucket that fails is not asked for everything that is wanted of it.
			wait = min(max(2*wait, r.opts.RetryInterval/16), r.opts.RetryInterval)
			if pause(ctx, wait) != nil {
				return
			}
		}
	}
}

func (r *Replicator) failed(ctx context.Context, t *task, err error) {
	r.opts.Metrics.failed()
	level := slog.LevelDebug
	if r.window.failed(t, err) {
		level = slog.LevelWarn
	}
	r.log.Log(ctx, level, "a block cannot be copied and is tried again", errAttr(err))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retry = append(r.retry, t)
}

// retries gives what failed its next turn.
func (r *Replicator) retries(ctx context.Context) {
	for pause(ctx, r.opts.RetryInterval) == nil {
		r.mu.Lock()
		again := r.retry
		r.retry = nil
		r.mu.Unlock()
		for _, t := range again {
			if r.give(ctx, t) != nil {
				return
			}
		}
	}
}

// copy brings an object to where it should be, unless it is there, or nobody needs it.
func (r *Replicator) copy(ctx context.Context, t *task) error {
	info, err := r.opts.To.Head(ctx, t.object.Key)
	there := err == nil
	if there && info.Size == t.object.Bytes {
		r.opts.Metrics.found()
		return nil
	}
	if !there && !errors.Is(err, object.ErrNotExist) {
		return fmt.Errorf("%s: %w", r.opts.To, err)
	}
	memory := min(t.object.Bytes, r.opts.BufferBytes)
	if err := r.memory.Acquire(ctx, memory); err != nil {
		return err
	}
	defer r.memory.Release(memory)
	data, err := r.fetch(ctx, t)
	if err != nil {
		known, knownErr := r.opts.Site.Known(ctx, []uint64{t.slice})
		if knownErr == nil && len(known) == 1 && !known[0] {
			return nil // freed and deleted since
		}
		return errors.Join(err, knownErr)
	}
	if there {
		err = r.opts.To.Put(ctx, t.object.Key, data) // cut, or of something else
	} else if err = r.opts.To.PutIfAbsent(ctx, t.object.Key, data); errors.Is(err, object.ErrExist) {
		err = nil
	}
	if err == nil {
		r.opts.Metrics.copied(len(data))
	}
	return err
}

// Copies is what a store has that tells the places apart where an object may be.
type Copies interface {
	Copies(key string) int
	GetCopy(ctx context.Context, key string, nth int, off, n int64) (io.ReadCloser, error)
}

// fetch reads an object, from the next place when its bytes are wrong at one.
func (r *Replicator) fetch(ctx context.Context, t *task) ([]byte, error) {
	data, err := r.read(ctx, t, r.opts.From.Get)
	places, ok := object.As[Copies](r.opts.From)
	if err == nil || ctx.Err() != nil || !ok || !errors.Is(err, errWrong) {
		return data, err
	}
	for nth := range places.Copies(t.object.Key) {
		get := func(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
			return places.GetCopy(ctx, key, nth, off, n)
		}
		if data, err := r.read(ctx, t, get); err == nil {
			return data, nil
		}
	}
	return nil, err
}

// errWrong says that an object was read, and is not what it should be.
var errWrong = errors.New("wrong bytes")

func (r *Replicator) read(ctx context.Context, t *task, get func(context.Context, string, int64, int64) (io.ReadCloser, error)) ([]byte, error) {
	body, err := get(ctx, t.object.Key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // all bytes that matter have been read
	data := make([]byte, t.object.Bytes+1)
	n, err := r.readLimited(ctx, body, data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.object.Key, err)
	}
	if int64(n) != t.object.Bytes {
		return nil, fmt.Errorf("%s is not of %d bytes: %w", t.object.Key, t.object.Bytes, errWrong)
	}
	data = data[:n]
	if r.opts.Check != nil {
		if err := r.opts.Check(t.object.Key, data); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", t.object.Key, errWrong, err)
		}
	}
	return data, nil
}

// readLimited reads to the end, or until p is full, and takes what it reads from the limit.
func (r *Replicator) readLimited(ctx context.Context, body io.Reader, p []byte) (int, error) {
	for n := 0; ; {
		k, err := body.Read(p[n:min(n+FetchBytes, len(p))])
		if k > 0 && r.opts.Limit != nil {
			if err := r.opts.Limit.WaitN(ctx, k); err != nil {
				return n, err
			}
		}
		n += k
		if n == len(p) || errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

var _ Site = (interface {
	meta.Engine
	meta.Source
	meta.Replica
	meta.Reclaimer
})(nil)
