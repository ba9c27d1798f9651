package fuse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxRequestBytes is the largest read or write that the kernel asks for at once:
// half of what a pipe takes by default, so that an answer with its header can be
// spliced. Larger requests were not faster (docs/decisions/0051-kernel-flags.md).
const maxRequestBytes = 512 << 10

// Server is a mounted file system. Its methods may be called concurrently.
type Server struct {
	opts Options
	dir  string // without symbolic links
	dev  string // device number of the mount, to tell it from another in its place
	fuse *gofuse.Server
	done chan struct{} // closed when the last request has been answered
	log  *slog.Logger
}

// Mount mounts opts.FS and starts to serve it; when it returns, the mount
// answers. It does not run the FS: the caller does, before and until after.
// Errors are *Error where the mount point or the system is to blame.
func Mount(ctx context.Context, opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	source := sourcePrefix + opts.Volume
	dir, err := prepare(ctx, opts.Dir, source, opts.NonEmpty)
	if err != nil {
		return nil, err
	}
	raw, err := newRaw(opts)
	if err != nil {
		return nil, err
	}
	server, err := gofuse.NewServer(raw, dir, mountOptions(opts, source))
	if err != nil {
		return nil, explainMount(dir, err)
	}
	s := &Server{opts: opts, dir: dir, fuse: server, done: make(chan struct{}), log: opts.Logger}
	go func() {
		defer close(s.done)
		server.Serve()
	}()
	if e, ok, err := mountAt(dir); err == nil && ok {
		s.dev = e.dev
	}
	if err := s.setReadAhead(); err != nil {
		s.log.InfoContext(ctx, "the kernel reads ahead 128 KiB only", slog.Any("error", err))
	}
	return s, nil
}

// mountOptions gives go-fuse's options. See docs/decisions/0051-kernel-flags.md.
func mountOptions(opts Options, source string) *gofuse.MountOptions {
	o := &gofuse.MountOptions{
		FsName:               source,
		Name:                 subtype,
		Options:              []string{"default_permissions"},
		AllowOther:           !opts.OnlyOwner && mayAllowOther(),
		DirectMountStrict:    os.Geteuid() == 0,
		MaxWrite:             maxRequestBytes,
		MaxReadAhead:         opts.ReadAheadBytes,
		MaxBackground:        opts.MaxBackground,
		EnableSymlinkCaching: true,
		EnableLocks:          !opts.LocalLocks,
		ExtraCapabilities: gofuse.CAP_ASYNC_DIO | gofuse.CAP_ATOMIC_O_TRUNC |
			gofuse.CAP_HANDLE_KILLPRIV_V2 | gofuse.CAP_PARALLEL_DIROPS | gofuse.CAP_DONT_MASK | gofuse.CAP_SETXATTR_EXT,
		EnableAcl: true,
		Debug:     opts.Debug,
		Logger:    slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
	}
	switch {
	case opts.ReadOnly && o.DirectMountStrict:
		o.DirectMountFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RDONLY
	case opts.ReadOnly:
		o.Options = append(o.Options, "ro")
	}
	return o
}

// setReadAhead widens the window that the kernel reads ahead, which INIT can
// only narrow.
func (s *Server) setReadAhead() error {
	name := filepath.Join("/sys/class/bdi", s.dev, "read_ahead_kb")
	return os.WriteFile(name, strconv.AppendInt(nil, int64(s.opts.ReadAheadBytes>>10), 10), 0)
}

// Dir is the mount point, absolute and without symbolic links.
func (s *Server) Dir() string { return s.dir }

// Done is closed when the mount is gone and its last request was answered.
func (s *Server) Done() <-chan struct{} { return s.done }

// Run returns when somebody has unmounted the file system. When ctx ends, it
// unmounts it itself, within Options.Grace: see Unmount. Programs that still use
// it then are no error: who ends the server means that.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Grace)
	defer cancel()
	err := s.Unmount(ctx)
	if errors.Is(err, ErrBusy) {
		s.log.WarnContext(ctx, "the mount was detached while in use", slog.Any("error", err))
		return nil
	}
	return err
}

// Unmount takes the mount away and returns when all requests have been
// answered. While programs use it, it tries again until ctx ends; then it
// detaches the mount from the tree and returns ErrBusy: those programs get
// ENOTCONN when this process ends. It is no error when the mount is gone already.
func (s *Server) Unmount(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if e, ok, err := mountAt(s.dir); err == nil && (!ok || e.dev != s.dev) {
			return s.drained(ctx) // somebody else was faster
		}
		err := detach(s.dir, 0)
		if err == nil {
			return s.drained(ctx)
		}
		if !errors.Is(err, unix.EBUSY) {
			return explainUnmount(s.dir, err)
		}
		select {
		case <-s.done:
			return nil
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		busy := explainUnmount(s.dir, err)
		if err := detach(s.dir, unix.MNT_DETACH); err != nil {
			return errors.Join(busy, err)
		}
		return fmt.Errorf("detached while programs use it: %w", busy)
	}
}

// drained waits for requests that are being answered.
func (s *Server) drained(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return &Error{Dir: s.dir, Err: fmt.Errorf("unmounted with requests that do not end: %w", ctx.Err())}
	}
}
