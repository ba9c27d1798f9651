package fuse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	devFuse      = "/dev/fuse"
	fuseConf     = "/etc/fuse.conf"
	helperBinary = "fusermount3"
)

// prepare makes sure that a mount of source at dir can work, and returns the
// directory without symbolic links. It takes away what a crashed process of the
// same volume left there.
func prepare(ctx context.Context, dir, source string, allowNonEmpty bool) (string, error) {
	if err := checkFUSE(dir); err != nil {
		return "", err
	}
	real, err := resolveDir(dir)
	if err != nil {
		return "", missingDir(dir, err)
	}
	for {
		e, mounted, err := mountAt(real)
		if err != nil {
			return "", &Error{Dir: dir, Err: err}
		}
		if !mounted {
			break
		}
		if err := checkMounted(ctx, real, source, e); err != nil {
			return "", err
		}
		if err := detach(real, unix.MNT_DETACH); err != nil {
			return "", &Error{Dir: dir, Err: fmt.Errorf("take away what a crashed mount left: %w", err), Hint: "umount -l " + real}
		}
	}
	return real, checkDir(real, allowNonEmpty)
}

// checkFUSE looks for what every mount needs. Root mounts by itself; others need
// a helper, which opens the device with the rights of its user.
func checkFUSE(dir string) error {
	const inContainer = "in a container: --device /dev/fuse --cap-add SYS_ADMIN"
	f, err := os.OpenFile(devFuse, os.O_RDWR, 0)
	if err == nil {
		err = f.Close()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return &Error{Dir: dir, Err: fmt.Errorf("%w: no %s", ErrNoFUSE, devFuse), Hint: "modprobe fuse, or " + inContainer}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Dir: dir, Err: fmt.Errorf("%w: open %s", ErrDenied, devFuse), Hint: "as root: chmod 666 /dev/fuse, or " + inContainer}
	case err != nil:
		return &Error{Dir: dir, Err: fmt.Errorf("%w: %w", ErrNoFUSE, err)}
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := exec.LookPath(helperBinary); err != nil {
		return &Error{Dir: dir, Err: fmt.Errorf("%w: no %s, which mounts for users other than root", ErrNoFUSE, helperBinary), Hint: "apt-get install fuse3"}
	}
	return nil
}

func missingDir(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Dir: dir, Err: ErrNoDir, Hint: "mkdir -p " + dir}
	case errors.Is(err, unix.ENOTDIR):
		return &Error{Dir: dir, Err: fmt.Errorf("%w: it is a file", ErrNoDir), Hint: "name a directory"}
	default:
		return &Error{Dir: dir, Err: err}
	}
}

// checkMounted looks at the mount that is at dir. It returns nil if that is the
// dead remains of a mount of the same source.
func checkMounted(ctx context.Context, dir, source string, e mountEntry) error {
	if !strings.HasPrefix(e.fsType, "fuse") {
		return &Error{Dir: dir, Err: fmt.Errorf("%w: %s (%s)", ErrMounted, e.source, e.fsType), Hint: "mount in another directory"}
	}
	// stat(2) will not do: the kernel may answer it from its cache. What is no
	// mirrorfs refuses this attribute, and that is an answer too.
	_, err := servedBy(ctx, dir)
	dead := errors.Is(err, unix.ENOTCONN)
	switch {
	case dead && e.fsType == fsType && e.source == source:
		return nil
	case dead:
		return &Error{Dir: dir, Err: fmt.Errorf("%w: what a crashed process of %s left", ErrMounted, e.source), Hint: "umount -l " + dir}
	case e.fsType == fsType:
		return &Error{Dir: dir, Err: fmt.Errorf("%w: %s", ErrMounted, e.source), Hint: "mirrorfs umount " + dir + ", or mount in another directory"}
	default:
		return &Error{Dir: dir, Err: fmt.Errorf("%w: %s (%s)", ErrMounted, e.source, e.fsType), Hint: "mount in another directory"}
	}
}

func checkDir(dir string, allowNonEmpty bool) error {
	st, err := os.Stat(dir)
	if err != nil {
		return missingDir(dir, err)
	}
	if !st.IsDir() {
		return missingDir(dir, unix.ENOTDIR)
	}
	if allowNonEmpty {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return &Error{Dir: dir, Err: fmt.Errorf("look into the mount point: %w", err)}
	}
	names, err := f.Readdirnames(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return &Error{Dir: dir, Err: errors.Join(fmt.Errorf("look into the mount point: %w", err), f.Close())}
	}
	if err := f.Close(); err != nil {
		return &Error{Dir: dir, Err: fmt.Errorf("look into the mount point: %w", err)}
	}
	if len(names) > 0 {
		return &Error{Dir: dir, Err: fmt.Errorf("%w: it holds %q", ErrNotEmpty, names[0]), Hint: "mount in an empty directory"}
	}
	return nil
}

// mayAllowOther tells whether other users may be given access: root always can,
// others when fuse.conf says so.
func mayAllowOther() bool {
	if os.Geteuid() == 0 {
		return true
	}
	b, err := os.ReadFile(fuseConf)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

// explainMount says what a failed mount(2) or fusermount3 means.
func explainMount(dir string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case unix.EPERM, unix.EACCES:
			return &Error{Dir: dir, Err: fmt.Errorf("%w: %w", ErrDenied, err), Hint: "root with CAP_SYS_ADMIN may mount; in a container: --cap-add SYS_ADMIN --device /dev/fuse"}
		case unix.ENODEV:
			return &Error{Dir: dir, Err: fmt.Errorf("%w: %w", ErrNoFUSE, err), Hint: "modprobe fuse"}
		default:
		}
	}
	if os.Geteuid() != 0 { // the helper has written its reason on our standard error
		return &Error{Dir: dir, Err: fmt.Errorf("mount: %s", strings.TrimSpace(err.Error())), Hint: "see what " + helperBinary + " says above"}
	}
	return &Error{Dir: dir, Err: fmt.Errorf("mount: %w", err)}
}
