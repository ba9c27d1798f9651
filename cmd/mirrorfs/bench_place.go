package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mirrorfs/meta/redis/local"
)

// What caches hold when a job begins.
const (
	benchCold = "cold" // nothing: data comes from the bucket
	benchWarm = "warm" // the disk cache
	benchHot  = "hot"  // the page cache
)

// benchPlace is where jobs run.
type benchPlace interface {
	// root is a directory that jobs own.
	root() string
	// cool empties caches down to a state: cold, warm or hot.
	cool(ctx context.Context, state string) error
}

// dropCaches empties the kernel's caches, as root may.
func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200)
}

// benchDisk is a directory of the local disk. There is no difference between
// cold and warm.
type benchDisk struct{ dir string }

func (d *benchDisk) root() string { return d.dir }

func (d *benchDisk) cool(_ context.Context, state string) error {
	if state != benchHot && os.Geteuid() == 0 {
		_ = dropCaches() // a container may not allow it; the result tells
	}
	return nil
}

// benchVolume is a volume of the benchmark's own, and its mount.
type benchVolume struct {
	lab   *lab
	meta  string
	mnt   string
	mount *child
	// memory of the client: of the mount that runs, and the most of any so far.
	bytes, bytesMax int64
}

const benchVolumeName = "bench"

func newBenchVolume(ctx context.Context, l *lab) (*benchVolume, error) {
	v := &benchVolume{lab: l}
	var err error
	if v.meta, err = l.redis(ctx, "meta"); err != nil {
		return nil, err
	}
	if _, err := l.run(ctx, "format", v.meta, benchVolumeName, "--bucket", "file://"+l.path("bucket")); err != nil {
		return nil, err
	}
	return v, v.start(ctx)
}

func (v *benchVolume) start(ctx context.Context) error {
	var err error
	v.mnt, v.mount, err = v.lab.mount(ctx, "mnt", v.meta)
	return err
}

func (v *benchVolume) root() string { return v.mnt }

// cool mounts anew, which empties the kernel's caches of this mount, and for a
// cold start removes the disk cache too.
func (v *benchVolume) cool(ctx context.Context, state string) error {
	if state == benchHot {
		return nil
	}
	if err := v.noteMemory(); err != nil {
		return err
	}
	if err := v.mount.stop(ctx); err != nil {
		return err
	}
	if state == benchCold {
		if err := os.RemoveAll(v.lab.path("mnt-cache")); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		_ = dropCaches() // as for the disk
	}
	return v.start(ctx)
}

func (v *benchVolume) dir() string { return v.lab.path("meta") }

func (v *benchVolume) pingRate(ctx context.Context) (float64, error) {
	const pings = 20_000
	return local.PingRate(ctx, v.dir(), pings)
}

// calls counts what Redis was asked so far: changes and questions.
func (v *benchVolume) calls(ctx context.Context) (int64, error) {
	info, err := local.Info(ctx, v.dir())
	if err != nil {
		return 0, err
	}
	return commandCalls(info["cmdstat_fcall"]) + commandCalls(info["cmdstat_fcall_ro"]), nil
}

// noteMemory looks at the memory of the mount that runs.
func (v *benchVolume) noteMemory() error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.mount.cmd.Process.Pid))
	if err != nil {
		return fmt.Errorf("memory of the mount: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "VmHWM" && name != "VmRSS" {
			continue
		}
		var kib int64
		if _, err := fmt.Sscan(value, &kib); err != nil {
			return fmt.Errorf("memory of the mount: %w", err)
		}
		if name == "VmRSS" {
			v.bytes = kib << 10
		} else {
			v.bytesMax = max(v.bytesMax, kib<<10)
		}
	}
	return nil
}

// subdirs makes directories for threads to work in.
func subdirs(root string, n int) ([]string, error) {
	dirs := make([]string, 0, n)
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("t%d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}
