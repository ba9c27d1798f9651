package metatest

import (
	"sync/atomic"
	"time"
)

// clock is a clock that moves when told. All engines of a test share one, so that
// they put equal times into equal changes.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(1_700_000_000_123_456_789)
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()) }

func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }
