package bucket

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"mirrorfs/object"
)

// BenchOptions of Bench; zero fields take the default given with each.
type BenchOptions struct {
	BlockBytes  int           // of large objects: 4 MiB
	Connections []int         // each number of connections is measured: 1, 4, 16
	Time        time.Duration // of each row: 3 s
	Progress    func(row string)
}

// Row is what Bench measured of one operation with so many connections.
type Row struct {
	Operation   string  `json:"operation"`
	Bytes       int     `json:"bytes"` // of one operation's body
	Connections int     `json:"connections"`
	Count       int     `json:"count"`
	PerSecond   float64 `json:"per_second"`
	MiBPerSec   float64 `json:"mib_per_second,omitempty"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
}

// smallBytes is a small object, or a small part of a large one.
const smallBytes = 4 << 10

// Bench measures the operations of a store: blocks written and read, small objects, parts
// of blocks, descriptions, listings, and deletions. It keeps at most as many blocks as the
// highest number of connections, and removes all that it wrote.
func Bench(ctx context.Context, s object.Store, opts BenchOptions) (rows []Row, err error) {
	setDefault(&opts.BlockBytes, 4<<20)
	setDefault(&opts.Time, 3*time.Second)
	if len(opts.Connections) == 0 {
		opts.Connections = []int{1, 4, 16}
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	prefix := newPrefix()
	defer func() { err = errors.Join(err, removeAll(ctx, s, prefix)) }()
	for _, job := range jobs(s, prefix, &opts) {
		if job.prepare != nil {
			if err := job.prepare(ctx); err != nil {
				return nil, fmt.Errorf("before %s: %w", job.name, err)
			}
		}
		for _, n := range opts.Connections {
			opts.Progress(fmt.Sprintf("%s, connections: %d", job.name, n))
			l := limits{connections: n, time: opts.Time}
			l.operations = job.upTo
			got, err := measure(ctx, l, func(ctx context.Context, i int) error { return job.do(ctx, i, n) })
			if err != nil {
				return nil, fmt.Errorf("%s on %d connections: %w", job.name, n, err)
			}
			rows = append(rows, Row{
				Operation: job.name, Bytes: job.bytes, Connections: n, Count: got.count, PerSecond: got.perSecond(1),
				MiBPerSec: got.perSecond(float64(job.bytes) / (1 << 20)),
				P50:       milliseconds(got.percentile(50)), P99: milliseconds(got.percentile(99)),
			})
		}
	}
	return rows, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// job is one operation to measure: the i-th of it, on one of n connections.
type job struct {
	name  string
	bytes int
	do    func(ctx context.Context, i, n int) error
	// prepare makes what it needs beside what jobs before it made; nil: nothing.
	prepare func(ctx context.Context) error
	upTo    int // how many there can be in one row; 0: any number
}

// jobs are in an order in which each finds what it needs.
func jobs(s object.Store, prefix string, opts *BenchOptions) []job {
	blockBytes := opts.BlockBytes
	block, small := noise(blockBytes), noise(smallBytes)
	blockKey := func(i, n int) string { return fmt.Sprintf("%sblock-%d", prefix, i%n) }
	read := func(ctx context.Context, key string, off, n int64, want int) error {
		got, err := readAll(ctx, s, key, off, n)
		if err == nil && len(got) != want {
			err = object.Invalidf("%d bytes came back of %d", len(got), want)
		}
		return err
	}
	const smallObjects = 200 // what a listing has
	smallKey := func(i int) string { return fmt.Sprintf("%ssmall-%d", prefix, i%smallObjects) }
	var deleted atomic.Int64 // each only once
	return []job{
		{name: "put a block", bytes: blockBytes, do: func(ctx context.Context, i, n int) error {
			return s.Put(ctx, blockKey(i, n), block)
		}},
		{name: "get a block", bytes: blockBytes, do: func(ctx context.Context, i, n int) error {
			return read(ctx, blockKey(i, n), 0, -1, blockBytes)
		}},
		{name: "get 4 KiB of a block", bytes: min(smallBytes, blockBytes), do: func(ctx context.Context, i, n int) error {
			return read(ctx, blockKey(i, n), int64(blockBytes/2/smallBytes*smallBytes), smallBytes, min(smallBytes, blockBytes))
		}},
		{name: "put 4 KiB", bytes: smallBytes, do: func(ctx context.Context, i, _ int) error {
			return s.Put(ctx, smallKey(i), small)
		}},
		{name: "describe", do: func(ctx context.Context, i, n int) error {
			_, err := s.Head(ctx, blockKey(i, n))
			return err
		}},
		{name: "list 200", do: func(ctx context.Context, _, _ int) error {
			_, err := s.List(ctx, prefix+"small-", "", object.MaxListed)
			return err
		}, prepare: func(ctx context.Context) error {
			return each(smallObjects, atOnce, func(i int) error { return s.Put(ctx, smallKey(i), small) })
		}},
		{name: "delete", do: func(ctx context.Context, _, _ int) error {
			return s.Delete(ctx, smallKey(int(deleted.Add(1))-1))
		}, upTo: max(smallObjects/len(opts.Connections), 1)},
	}
}
