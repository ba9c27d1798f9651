package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

const (
	benchPieceBytes  = 1 << 20  // of a sequential read or write
	benchRandomBytes = 4 << 10  // of a random one
	benchSmallBytes  = 64 << 10 // of a small file
	benchRandomOps   = 2000
	benchSmallWorker = 4
)

// largeFile measures one file: written, read cold, warm and hot, in order and at
// random.
func (b *benchRun) largeFile(ctx context.Context) error {
	size := int64(b.opts.data)
	mib := float64(size) / (1 << 20)
	large := func(root string) string { return filepath.Join(root, "large") }
	jobs := []benchJob{{name: "write, sequential", unit: "MiB", amount: mib, do: func(root string) error {
		return writeLarge(large(root), size)
	}}}
	for _, state := range []string{benchCold, benchWarm, benchHot} {
		jobs = append(jobs, benchJob{name: "read, sequential, " + state, unit: "MiB", amount: mib, state: state, do: func(root string) error {
			return readLarge(large(root))
		}})
	}
	for _, state := range []string{benchCold, benchWarm, benchHot} {
		jobs = append(jobs, benchJob{name: "read 4 KiB, random, " + state, unit: "ops", amount: benchRandomOps, state: state, do: func(root string) error {
			return readAtRandom(large(root), size)
		}})
	}
	jobs = append(jobs, benchJob{name: "write 4 KiB, random, fsync at the end", unit: "ops", amount: benchRandomOps, do: func(root string) error {
		return writeAtRandom(large(root), size)
	}})
	for _, job := range jobs {
		if job.state == benchHot { // the job before read some of it: read all
			for _, place := range []benchPlace{b.disk, b.volume} {
				if err := readLarge(large(place.root())); err != nil {
					return err
				}
			}
		}
		if err := b.both(ctx, job); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(large(b.disk.root())), os.Remove(large(b.volume.root())))
}

// writeLarge writes and syncs a file of bytes that cannot be compressed.
func writeLarge(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	piece := make([]byte, benchPieceBytes)
	_, _ = rand.NewChaCha8([32]byte{}).Read(piece)
	for left := size; left > 0 && err == nil; left -= int64(len(piece)) {
		piece[0]++ // no two pieces are equal
		_, err = f.Write(piece[:min(left, int64(len(piece)))])
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func readLarge(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	piece := make([]byte, benchPieceBytes)
	for {
		if _, err := f.Read(piece); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func readAtRandom(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	random := rand.New(rand.NewPCG(1, 2))
	piece := make([]byte, benchRandomBytes)
	for range benchRandomOps {
		if _, err := f.ReadAt(piece, random.Int64N(size/benchRandomBytes)*benchRandomBytes); err != nil {
			return err
		}
	}
	return nil
}

func writeAtRandom(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, 4))
	piece := make([]byte, benchRandomBytes)
	for i := range benchRandomOps {
		piece[0] = byte(i)
		if _, err = f.WriteAt(piece, random.Int64N(size/benchRandomBytes)*benchRandomBytes); err != nil {
			break
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// smallFiles measures many files of 64 KiB, and what Redis needs for each.
func (b *benchRun) smallFiles(ctx context.Context) error {
	n := b.opts.files / benchSmallWorker * benchSmallWorker
	path := func(dir string, i int) string { return filepath.Join(dir, "s"+strconv.Itoa(i)) }
	small := func(root string) string { return filepath.Join(root, "small") }
	data := make([]byte, benchSmallBytes)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	before, err := b.redisBytes(ctx)
	if err != nil {
		return err
	}
	err = b.both(ctx, benchJob{name: "write files of 64 KiB", threads: benchSmallWorker, unit: "files", amount: float64(n), do: func(root string) error {
		return inThreads(small(root), benchSmallWorker, n, func(dir string, i int) error {
			return os.WriteFile(path(dir, i), data, 0o644)
		})
	}})
	if err != nil {
		return err
	}
	after, err := b.redisBytes(ctx)
	if err != nil {
		return err
	}
	b.result.RedisBytesPerFile = float64(after-before) / float64(n)
	for _, state := range []string{benchCold, benchWarm} {
		err := b.both(ctx, benchJob{name: "read files of 64 KiB, " + state, threads: benchSmallWorker, unit: "files", amount: float64(n), state: state, do: func(root string) error {
			return inThreads(small(root), benchSmallWorker, n, func(dir string, i int) error {
				_, err := os.ReadFile(path(dir, i))
				return err
			})
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// redisBytes is what the volume takes of Redis's memory, its log apart.
func (b *benchRun) redisBytes(ctx context.Context) (int64, error) {
	e, err := b.lab.c.openMeta(ctx, b.volume.meta, nil)
	if err != nil {
		return 0, err
	}
	n, err := e.Memory(ctx)
	return n, errors.Join(err, e.Close())
}
