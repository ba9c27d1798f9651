package vfs

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// limits knows whether the volume has quotas at all: while it has none, writes ask
// for nothing.
type limits struct{ exist atomic.Bool }

// see notes quotas that an answer showed.
func (l *limits) see(quotas []meta.Quota) {
	for i := range quotas {
		if quotas[i].Limit != (meta.Usage{}) {
			l.exist.Store(true)
		}
	}
}

// room is how long a file may become before a quota is full. Guarded by inode.write.
type room struct {
	end   uint64 // bytes
	errno syscall.Errno
	at    int64 // ns, when it was asked for; 0: not known
}

// sizeUnit is what sizes are rounded up to when they are counted.
const sizeUnit = 4096

func roundUp(size uint64) uint64 { return (size + sizeUnit - 1) &^ (sizeUnit - 1) }

// withinQuota gives how many of n bytes at off may be written, or the error when
// there is no room at all. The engine decides at the commit; this is to tell a
// program at its write, as long as this client can know: others may take the room
// meanwhile. It asks, at most once per Options.AttrAge, only when the file grows and
// the volume has quotas. in.write is held.
func (fs *FS) withinQuota(ctx context.Context, in *inode, off uint64, n int) (int, error) {
	end := off + uint64(n)
	in.mu.RLock()
	fits := end <= roundUp(in.size()) || in.valid && in.attr.Nlink == 0
	in.mu.RUnlock()
	if fits || !fs.limits.exist.Load() {
		return n, nil
	}
	if fs.now()-in.room.at < int64(fs.opts.AttrAge) && end <= in.room.end {
		return n, nil
	}
	if !fs.askRoom(ctx, in) || end <= in.room.end {
		return n, nil
	}
	if off < in.room.end {
		return int(in.room.end - off), nil
	}
	return 0, refuse("write", in.ino, "", in.room.errno)
}

// askRoom asks how long a file may become, and reports whether that is known now.
func (fs *FS) askRoom(ctx context.Context, in *inode) bool {
	in.mu.RLock()
	known := in.valid && fs.now()-in.askedAt < int64(fs.opts.AttrAge)
	in.mu.RUnlock()
	if !known && fs.refresh(ctx, in) != nil { // what it takes already
		return false
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	quotas, err := fs.engine.QuotasAt(ctx, in.ino)
	if err != nil {
		return false
	}
	left := room{end: math.MaxUint64, at: fs.now()}
	in.mu.RLock()
	taken := roundUp(in.attr.Size)
	in.mu.RUnlock()
	for i := range quotas {
		q := &quotas[i]
		if q.Limit.Bytes == 0 || q.IsCounting() {
			continue
		}
		end := taken + (max(q.Limit.Bytes, q.Used.Bytes)-q.Used.Bytes)&^(sizeUnit-1)
		if end < left.end {
			left.end, left.errno = end, syscall.EDQUOT
			if q.Dir == meta.RootIno {
				left.errno = syscall.ENOSPC
			}
		}
	}
	in.room = left
	return true
}

// maxCounts is how many steps of counting a client makes in one go.
const maxCounts = 10_000

// watchQuotas finds out now and then whether the volume has quotas, and goes on
// with counts that nobody ended, until ctx ends.
func (fs *FS) watchQuotas(ctx context.Context) {
	for {
		if err := fs.tendQuotas(ctx); err != nil && ctx.Err() == nil {
			fs.log.WarnContext(ctx, "quotas could not be looked after", errAttr(err))
		}
		if !pause(ctx, fs.opts.PurgeInterval) {
			return
		}
	}
}

func (fs *FS) tendQuotas(ctx context.Context) error {
	asking, cancel := fs.asking(ctx)
	quotas, err := fs.engine.Quotas(asking)
	cancel()
	if err != nil {
		return err
	}
	fs.limits.exist.Store(len(quotas) > 0)
	for i := range quotas {
		for n := 0; quotas[i].IsCounting() && n < maxCounts && ctx.Err() == nil; n++ {
			res, err := fs.send(ctx, meta.Count{Dir: quotas[i].Dir})
			if errors.Is(err, syscall.ENODATA) || errors.Is(err, syscall.ENOENT) {
				break // it was taken away
			}
			if err != nil {
				return err
			}
			if res.Position.IsZero() {
				break
			}
			if !pause(ctx, countPause) {
				break
			}
		}
	}
	return nil
}

// countPause is what other clients are left between two steps of a count.
const countPause = 5 * time.Millisecond
