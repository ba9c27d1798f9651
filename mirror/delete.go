package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mirrorfs/object"
)

// Delete removes the object from every bucket there is: one that was missed would keep
// it for ever. So it fails when the sites cannot be asked, and with object.ErrPartial when only some
// of the buckets did it.
//
// A bucket that failed to is asked again after a minute, by one caller, and until then not
// waited for: who deletes much goes on at the others.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.refresh(ctx, sitesAgeDelete); err != nil {
		return err
	}
	places := s.places(key)
	var errs []error
	for _, p := range places {
		if err := s.deleteAt(ctx, p.store, key); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	err := errors.Join(errs...)
	if len(errs) > 0 && len(errs) < len(places) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", object.ErrPartial, err)
	}
	return err
}

// deleteAt removes an object from one bucket, unless that failed lately.
func (s *Store) deleteAt(ctx context.Context, from object.Store, key string) error {
	if err := s.quiet.lately(from, s.opts.Now()); err != nil {
		return err
	}
	err := from.Delete(ctx, key)
	if ctx.Err() == nil {
		s.quiet.note(from, err, s.opts.Now())
	}
	return err
}

// quietTime is how long a bucket that failed is left alone.
const quietTime = time.Minute

// quietBuckets remembers which buckets failed to delete something, and when to ask them again. The zero
// value knows none.
type quietBuckets struct {
	mu      sync.Mutex
	buckets map[object.Store]failure
}

// failure is what a bucket said last.
type failure struct {
	err   error
	until time.Time
}

// lately tells why a bucket is not to be asked now. Whoever is told nothing when its time is
// up asks it for all.
func (s *quietBuckets) lately(bucket object.Store, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.buckets[bucket]
	switch {
	case !ok:
		return nil
	case now.Before(f.until):
		return fmt.Errorf("not asked, because it failed lately: %w", f.err)
	}
	f.until = now.Add(quietTime)
	s.buckets[bucket] = f
	return nil
}

// note takes down what a bucket said; err may be nil.
func (s *quietBuckets) note(bucket object.Store, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.buckets, bucket)
		return
	}
	if s.buckets == nil {
		s.buckets = map[object.Store]failure{}
	}
	s.buckets[bucket] = failure{err: err, until: now.Add(quietTime)}
}
