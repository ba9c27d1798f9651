package meta_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"mirrorfs/meta"
)

func TestErrno(t *testing.T) {
	enoent := &meta.Error{Op: "lookup", Ino: 1, Name: "x", Errno: syscall.ENOENT}
	ended := &meta.Error{Op: "create", Errno: syscall.ESTALE, Err: meta.ErrSessionEnded}
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{enoent, syscall.ENOENT},
		{fmt.Errorf("opening: %w", enoent), syscall.ENOENT},
		{fmt.Errorf("opening: %w", syscall.EROFS), syscall.EROFS},
		{ended, syscall.ESTALE},
		{errors.New("what?"), syscall.EIO},
	} {
		if got := meta.Errno(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
	if !errors.Is(ended, meta.ErrSessionEnded) || !errors.Is(ended, syscall.ESTALE) || errors.Is(ended, syscall.EIO) {
		t.Error("errors.Is does not find cause or errno")
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]*meta.Error{
		`lookup inode 1 "x": no such file or directory`: {Op: "lookup", Ino: 1, Name: "x", Errno: syscall.ENOENT},
		"create: session has ended":                     {Op: "create", Errno: syscall.ESTALE, Err: meta.ErrSessionEnded},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestOpNames(t *testing.T) {
	changes := map[string]meta.Change{
		"create": meta.Make{Mode: meta.TypeFile}, "mkdir": meta.Make{Mode: meta.TypeDir},
		"symlink": meta.Make{Mode: meta.TypeSymlink}, "mknod": meta.Make{Mode: meta.TypeFifo},
		"setattr": meta.SetAttr{}, "link": meta.Link{}, "unlink": meta.Unlink{}, "rmdir": meta.Rmdir{},
		"rename": meta.Rename{}, "commit": meta.Commit{}, "setxattr": meta.SetXattr{},
		"removexattr": meta.RemoveXattr{}, "reserve": meta.Reserve{}, "purge": meta.Purge{},
		"session_end": meta.EndOtherSession{}, "settings": meta.Settings{},
	}
	for want, c := range changes {
		if got := c.Op().String(); got != want {
			t.Errorf("%T is named %q, want %q", c, got, want)
		}
	}
	for _, op := range []meta.Op{0, 255} {
		if op.String() != "?" {
			t.Errorf("op %d is named %q", op, op)
		}
	}
}
