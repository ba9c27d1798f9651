package fuse

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// raw answers the kernel's requests. What it does not implement is answered with
// ENOSYS by the embedded default, and the kernel then does not ask again: tmpfile,
// which programs do without.
type raw struct {
	gofuse.RawFileSystem
	fs      *vfs.FS
	root    meta.Ino
	opts    Options
	log     *slog.Logger
	pid     []byte // answer to pidXattr
	metrics *metrics
	server  *gofuse.Server // set by Init
	files   handles[vfs.File]
	dirs    handles[vfs.Dir]
	watcher watcher
	sizes   sizes
	retries retries
	settled settled
	left    left
}

func newRaw(opts Options) (*raw, error) {
	m, err := newMetrics(opts.Metrics)
	if err != nil {
		return nil, err
	}
	return &raw{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(),
		fs:            opts.FS,
		root:          opts.FS.Root(),
		opts:          opts,
		log:           opts.Logger,
		pid:           strconv.AppendInt(nil, int64(os.Getpid()), 10),
		metrics:       m,
		sizes:         newSizes(opts.AttrTimeout),
	}, nil
}

// String names the file system in go-fuse's messages.
func (r *raw) String() string { return subtype }

// Init is called before the first request.
func (r *raw) Init(server *gofuse.Server) { r.server = server }

func inoAttr(ino meta.Ino) slog.Attr { return slog.Uint64("inode", uint64(ino)) }

func errnoAttr(st gofuse.Status) slog.Attr { return slog.String("error", syscall.Errno(st).Error()) }

// ino is the inode of a node ID. The protocol fixes the root's node ID.
func (r *raw) ino(node uint64) meta.Ino {
	if node == gofuse.FUSE_ROOT_ID {
		return r.root
	}
	return meta.Ino(node)
}

// node is the node ID of an inode.
func (r *raw) node(ino meta.Ino) uint64 {
	if ino == r.root {
		return gofuse.FUSE_ROOT_ID
	}
	return uint64(ino)
}

// status gives what the program sees, and logs what it cannot make sense of.
func (r *raw) status(op string, err error) gofuse.Status {
	if err == nil {
		return gofuse.OK
	}
	errno := meta.Errno(err)
	if errno == 0 {
		errno = syscall.EIO
	}
	if errno == syscall.EIO && !errors.Is(err, context.Canceled) {
		r.log.Error("request failed", slog.String("request", op), slog.Any("error", err))
	}
	return gofuse.Status(errno)
}

// inodeStatus is status for a request about an inode that the kernel found by a
// name: that the inode is gone does not mean that the name is. On ESTALE the
// kernel looks the path up anew.
func (r *raw) inodeStatus(op string, err error) gofuse.Status {
	if st := r.status(op, err); st != gofuse.ENOENT {
		return st
	}
	return gofuse.Status(syscall.ESTALE)
}

// Forget: nothing is kept for a node that the kernel knows.
func (r *raw) Forget(uint64, uint64) {}
