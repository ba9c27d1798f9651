package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mirrorfs/cmd/mirrorfs/tree"
)

const (
	// demoLineInterval is how often lag is told where no line can be redrawn.
	demoLineInterval = 2 * time.Second
	// demoWatchInterval is how often the mirror is asked for its lag.
	demoWatchInterval = 500 * time.Millisecond
	// demoBackBytes is the size of the file written at B and read at A.
	demoBackBytes = 64 << 20
)

// copyIn copies the tree in at A while watching it arrive at B, and waits until
// all of it is there.
func (s *demoSites) copyIn(ctx context.Context, from string, r *demoResult) error {
	s.lab.c.sayf("copying %s to %s/src", from, s.a.mnt)
	var count tree.Count
	start := time.Now()
	copied := make(chan error, 1)
	go func() {
		copied <- tree.Copy(ctx, filepath.Join(s.a.mnt, "src"), from, tree.Options{Count: &count})
	}()
	if err := s.watchArrival(ctx, copied, &count, r); err != nil {
		return err
	}
	r.CopySeconds = time.Since(start).Seconds()
	r.Files, r.Dirs, r.Links, r.Bytes = count.Files.Load(), count.Dirs.Load(), count.Links.Load(), count.Bytes.Load()
	waiting := time.Now()
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	r.CatchUpSeconds = time.Since(waiting).Seconds()
	s.lab.c.sayf("copied %d files in %.1f s; all readable at B %.2f s later", r.Files, r.CopySeconds, r.CatchUpSeconds)
	return nil
}

// watchArrival shows both sites until the copy has ended.
func (s *demoSites) watchArrival(ctx context.Context, copied <-chan error, count *tree.Count, r *demoResult) error {
	line := s.lab.c.newProgress()
	defer line.done()
	tick := time.NewTicker(demoWatchInterval)
	defer tick.Stop()
	var told time.Time
	for {
		select {
		case err := <-copied:
			if err != nil {
				return fmt.Errorf("copy in at A: %w", err)
			}
			return nil
		case <-tick.C:
		}
		m, err := s.lag(ctx)
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		atB, err := inodesUsed(s.b.mnt)
		if err != nil {
			return err
		}
		r.lag(m)
		text := fmt.Sprintf("  at A %6d entries   at B %6d entries   lag %5d records %6.3f s", count.Entries(), atB-1, m.LagRecords, m.LagSeconds)
		line.update("%s", text)
		if !s.lab.c.stderrIsTerminal() && time.Since(told) >= demoLineInterval {
			told = time.Now()
			s.lab.c.sayf("%s", text)
		}
	}
}

// inodesUsed asks a mount how many inodes the volume holds.
func inodesUsed(mnt string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(mnt, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", mnt, err)
	}
	return int64(st.Files - st.Ffree), nil
}

// compare compares both mounts through system calls.
func (s *demoSites) compare(ctx context.Context, r *demoResult) error {
	s.lab.c.sayf("comparing every name, attribute and byte at A and B")
	var count tree.Count
	start := time.Now()
	line := s.lab.c.newProgress()
	defer line.done()
	type outcome struct {
		report tree.Report
		err    error
	}
	compared := make(chan outcome, 1)
	go func() {
		report, err := tree.Compare(ctx, filepath.Join(s.a.mnt, "src"), filepath.Join(s.b.mnt, "src"), tree.Options{Count: &count})
		compared <- outcome{report, err}
	}()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			line.update("  %d of %d files, %s", count.Files.Load(), r.Files, formatBytes(count.Bytes.Load()))
			continue
		case o := <-compared:
			line.done()
			if o.err != nil {
				return fmt.Errorf("compare: %w", o.err)
			}
			if o.report.Different > 0 {
				return fmt.Errorf("%d differences between A and B:\n  %s", o.report.Different, strings.Join(o.report.Differences, "\n  "))
			}
		}
		r.CompareSeconds = time.Since(start).Seconds()
		s.lab.c.sayf("no difference in %d files, %d directories, %d links, %s", count.Files.Load(), count.Dirs.Load(), count.Links.Load(), formatBytes(count.Bytes.Load()))
		return nil
	}
}

// writeBack writes a file at B and reads it at A.
func (s *demoSites) writeBack(ctx context.Context, r *demoResult) error {
	s.lab.c.sayf("writing %s at B and reading it at A", formatBytes(demoBackBytes))
	name := "written-at-b"
	start := time.Now()
	sum, err := writeRandom(ctx, filepath.Join(s.b.mnt, name), demoBackBytes)
	if err != nil {
		return fmt.Errorf("write at B: %w", err)
	}
	r.WriteBackSeconds = time.Since(start).Seconds()
	got, err := sumOf(filepath.Join(s.a.mnt, name))
	if err != nil {
		return fmt.Errorf("read at A: %w", err)
	}
	if got != sum {
		return fmt.Errorf("the file written at B has sha256 %s there and %s at A", sum, got)
	}
	r.WriteBackBytes, r.WriteBackSHA256 = demoBackBytes, sum
	return nil
}

// writeRandom writes a file of bytes that cannot be compressed, and returns its
// sum once it is closed.
func writeRandom(ctx context.Context, path string, n int64) (string, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	random := rand.NewChaCha8([32]byte{1})
	_, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(random, n))
	if err := errors.Join(err, f.Close(), ctx.Err()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
