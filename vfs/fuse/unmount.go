package fuse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is how often a mount that is in use, or a process that is to end,
// is looked at again.
const pollInterval = 20 * time.Millisecond

// askTimeout bounds how long Unmount waits for a mount to tell who serves it.
const askTimeout = 5 * time.Second

// Unmount takes away the mirrorfs mount at dir and returns when the process that
// served it has written down everything and ended, or with ErrStillServed when
// ctx ends first. A mount that is in use is left as it is: ErrBusy, naming who
// uses it. What a crashed process left is simply taken away.
func Unmount(ctx context.Context, dir string) error {
	real, err := resolveDir(dir)
	if err != nil {
		return missingDir(dir, err)
	}
	e, mounted, err := mountAt(real)
	if err != nil {
		return &Error{Dir: dir, Err: err}
	}
	if !mounted || e.fsType != fsType {
		return &Error{Dir: dir, Err: ErrNotMounted, Hint: "findmnt -t " + fsType + " lists mirrorfs mounts"}
	}
	pid, err := servedBy(ctx, real)
	if errors.Is(err, unix.ENOTCONN) {
		return explainUnmount(real, detach(real, unix.MNT_DETACH))
	}
	// The process is watched from before the unmount, so that its number cannot
	// have passed to another. Not finding it (it may live in another container)
	// only means not to wait for it.
	watch := -1
	if err == nil {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			watch = fd
			defer unix.Close(fd) //nolint:errcheck // a pidfd has nothing to flush
		}
	}
	if err := detach(real, 0); err != nil {
		return explainUnmount(real, err)
	}
	if watch < 0 {
		return nil
	}
	if err := waitExit(ctx, watch); err != nil {
		return &Error{Dir: dir, Err: fmt.Errorf("%w (process %d): %w", ErrStillServed, pid, err), Hint: "its log says what it waits for"}
	}
	return nil
}

// servedBy asks the mount at dir for the process that serves it.
func servedBy(ctx context.Context, dir string) (int, error) {
	type answer struct {
		pid int
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := make(chan answer, 1)
	go func() { // a mount that hangs must not hang us
		var buf [20]byte
		n, err := unix.Getxattr(dir, pidXattr, buf[:])
		if err != nil {
			c <- answer{err: err}
			return
		}
		pid, err := strconv.Atoi(string(buf[:n]))
		c <- answer{pid, err}
	}()
	select {
	case a := <-c:
		return a.pid, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// detach unmounts dir once.
func detach(dir string, flags int) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, flags|unix.UMOUNT_NOFOLLOW)
	}
	args := []string{"-u", "-q"}
	if flags&unix.MNT_DETACH != 0 {
		args = append(args, "-z")
	}
	// fusermount3 tells nothing but that it failed, and a mount that is ours and
	// cannot be unmounted is in use.
	if out, err := exec.Command(helperBinary, append(args, "--", dir)...).CombinedOutput(); err != nil { //nolint:gosec // dir is not parsed by a shell
		return fmt.Errorf("%s %s: %w: %w", helperBinary, strings.TrimSpace(string(out)), err, unix.EBUSY)
	}
	return nil
}

// explainUnmount says what a failed unmount means.
func explainUnmount(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		reason := ErrBusy
		if who := users(dir); len(who) > 0 {
			reason = fmt.Errorf("%w by %s", ErrBusy, strings.Join(who, ", "))
		}
		return &Error{Dir: dir, Err: reason, Hint: "end those programs (fuser -vm " + dir + " or lsof +f -- " + dir + " lists them), then again"}
	case errors.Is(err, unix.EPERM):
		return &Error{Dir: dir, Err: fmt.Errorf("%w: %w", ErrDenied, err), Hint: "as root, or as the user who mounted it"}
	default:
		return &Error{Dir: dir, Err: fmt.Errorf("unmount: %w", err)}
	}
}

// maxUsers bounds how many users of a mount are named.
const maxUsers = 8

// users finds processes that have something open below dir, without asking the
// mount itself. It sees what /proc lets it see.
func users(dir string) []string {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var found []string
	for _, proc := range procs {
		if len(found) == maxUsers {
			break
		}
		if !uses(proc, dir) {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(proc, "comm"))
		if err == nil {
			found = append(found, fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(comm)), filepath.Base(proc)))
		}
	}
	return found
}

func uses(proc, dir string) bool {
	links := []string{filepath.Join(proc, "cwd"), filepath.Join(proc, "root"), filepath.Join(proc, "exe")}
	for _, kind := range []string{"fd", "map_files"} {
		entries, err := os.ReadDir(filepath.Join(proc, kind))
		if err != nil {
			continue // ended meanwhile, or not ours to see
		}
		for _, e := range entries {
			links = append(links, filepath.Join(proc, kind, e.Name()))
		}
	}
	return slices.ContainsFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err == nil && (target == dir || strings.HasPrefix(target, dir+"/"))
	})
}

// waitExit returns when the process behind pidfd has ended.
func waitExit(ctx context.Context, pidfd int) error {
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(pollInterval/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watch the process: %w", err)
		}
		if n > 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
