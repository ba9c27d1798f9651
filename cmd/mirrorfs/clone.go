package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newCloneCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "clone SRC DST",
		Short: "Copy a file on a mount without copying its bytes",
		Long: `clone makes DST a new file that holds what SRC holds. Both refer to the same data in
the bucket, so that it takes neither time nor room, whatever their size, and each
can be written without changing the other. DST appears when it is whole; if it is
a directory, the file gets the name of SRC in it.

SRC and DST are paths on one mount of a volume. A file of up to 2 GiB is cloned at
one moment; a longer one that is written meanwhile may be cloned in parts. cp and
whatever else uses copy_file_range(2) share data in the same way.`,
		Example: "  mirrorfs clone /mnt/photos/model.bin /mnt/photos/model-v2.bin",
		Args:    exactArgs("SRC", "DST"),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := cloneFile(args[0], args[1])
			if err != nil {
				return err
			}
			return c.print(r, func(w io.Writer) { fmt.Fprintf(w, "cloned %s to %s: %d bytes\n", r.Source, r.Target, r.Bytes) })
		},
	}
}

// cloneResult is what clone prints.
type cloneResult struct {
	Source string `json:"source"`
	Target string `json:"target"`
	Bytes  int64  `json:"bytes"`
}

// cloneFile clones into a file beside the target, which then takes its name: whole or not
// at all.
func cloneFile(from, to string) (_ *cloneResult, err error) {
	src, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }() // nothing was written to it
	info, err := src.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, hintf(fmt.Errorf("clone %s: it is not a regular file", from), "cp -r %s %s shares the data of the files in it", from, to)
	}
	if st, err := os.Stat(to); err == nil && st.IsDir() {
		to = filepath.Join(to, filepath.Base(from))
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("clone to %s: %w", to, fs.ErrExist)
		}
		return nil, err
	}
	if err := onOneMount(src, filepath.Dir(to)); err != nil {
		return nil, err
	}
	dst, err := os.OpenFile(besides(to), os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dst.Close(), os.Remove(dst.Name()))
		}
	}()
	n, err := copyRange(src, dst, info.Size())
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", from, err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, dst.Name(), unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return nil, fmt.Errorf("clone to %s: %w", to, err)
	}
	return &cloneResult{Source: from, Target: to, Bytes: n}, dst.Close()
}

// besides is a name in the same directory that nobody else has.
func besides(path string) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return filepath.Join(filepath.Dir(path), ".clone-"+hex.EncodeToString(b[:]))
}

// onOneMount refuses files whose data cannot be shared.
func onOneMount(src *os.File, dir string) error {
	var a, b unix.Stat_t
	var at unix.Statfs_t
	err := errors.Join(unix.Fstat(int(src.Fd()), &a), unix.Stat(dir, &b), unix.Fstatfs(int(src.Fd()), &at))
	if err != nil {
		return fmt.Errorf("clone %s: %w", src.Name(), err)
	}
	if a.Dev != b.Dev || at.Type != unix.FUSE_SUPER_MAGIC {
		return hintf(fmt.Errorf("clone %s: it is not on one mount of a volume with %s", src.Name(), dir), "cp copies between file systems")
	}
	return nil
}

// copyRange shares n bytes of src with dst and tells how many there were.
func copyRange(src, dst *os.File, n int64) (int64, error) {
	done := int64(0)
	for done < n {
		k, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, int(n-done), 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		if k == 0 { // cut off meanwhile
			break
		}
		done += int64(k)
	}
	return done, nil
}
