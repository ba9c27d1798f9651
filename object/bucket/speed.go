package bucket

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"mirrorfs/object"
)

// What is slow for a volume: a bucket in the same region answers in 10 to 50 ms and gives
// tens of MiB/s on one connection.
const (
	slowAnswer       = 200 * time.Millisecond
	slowMiBPerSecond = 20
)

// latency times small reads, one after the other.
func (c *checking) latency(ctx context.Context) Finding {
	key := c.key("small")
	if err := c.near.Put(ctx, key, noise(4<<10)); err != nil {
		return failed(err)
	}
	s, err := measure(ctx, limits{connections: 1, operations: c.opts.Samples}, func(ctx context.Context, _ int) error {
		_, err := readAll(ctx, c.near, key, 0, -1)
		return err
	})
	if err != nil {
		return failed(err)
	}
	half, most := s.percentile(50), s.percentile(99)
	if half > slowAnswer {
		return warn("a bucket in this machine's region, or an internal endpoint; if it has to be this one, a mirror near the readers (--data keep or full)",
			"half of %d reads of 4 KiB took more than %v, the slowest %v", s.count, round(half), round(most))
	}
	return ok("half of %d reads of 4 KiB took less than %v, the slowest %v", s.count, round(half), round(most))
}

func (c *checking) writing(ctx context.Context) Finding {
	data := noise(c.opts.BlockBytes)
	return c.throughput(ctx, func(ctx context.Context, i int) error {
		return c.near.Put(ctx, c.blockKey(i), data)
	})
}

func (c *checking) reading(ctx context.Context) Finding {
	return c.throughput(ctx, func(ctx context.Context, i int) error {
		got, err := readAll(ctx, c.near, c.blockKey(i), 0, -1)
		if err == nil && len(got) != c.opts.BlockBytes {
			err = object.Invalidf("%d bytes came back of %d", len(got), c.opts.BlockBytes)
		}
		return err
	})
}

// blockKey names as many blocks as there are connections: no more are kept.
func (c *checking) blockKey(i int) string {
	return c.key(fmt.Sprintf("block-%d", i%c.opts.Connections))
}

// throughput moves blocks on all connections, which also makes those that are read later,
// and on one.
func (c *checking) throughput(ctx context.Context, move func(context.Context, int) error) Finding {
	block := float64(c.opts.BlockBytes) / (1 << 20)
	many, err := measure(ctx, limits{connections: c.opts.Connections, time: c.opts.Throughput}, move)
	if err != nil {
		return failed(err)
	}
	one, err := measure(ctx, limits{connections: 1, time: c.opts.Throughput}, move)
	if err != nil {
		return failed(err)
	}
	detail := fmt.Sprintf("%.0f MiB/s on %d connections, %.0f MiB/s on one",
		many.perSecond(block), c.opts.Connections, one.perSecond(block))
	if many.perSecond(block) < slowMiBPerSecond {
		return warn("a nearer bucket, or more bandwidth: clients with a cold cache and replication are as slow as this", "%s", detail)
	}
	return ok("%s", detail)
}

// noise is bytes that no store and no network makes smaller.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // never fails
	return data
}

// round leaves of a time what is worth reading.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
