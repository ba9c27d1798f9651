package vfs

import (
	"context"
	"errors"
	"sync"
	"time"

	"mirrorfs/meta"
)

// AtimeMode says when reading changes access times.
type AtimeMode uint8

// The modes.
const (
	// AtimeOff: never, as on a mount with noatime.
	AtimeOff AtimeMode = iota
	// AtimeRelative: as on a mount with relatime, by the first read after a change,
	// and by a read when the last one noted is a day old. Of files and directories.
	AtimeRelative
)

const (
	// staleAtime is how old an access time may become in a file that is read.
	staleAtime = 24 * time.Hour
	// maxAccesses bounds the accesses that are noted and not sent. What comes then is
	// noted at the next read.
	maxAccesses = 4096
)

// accesses are those not sent yet: each is a change, over a wide area perhaps, and
// no reader is to wait for it.
type accesses struct {
	mu sync.Mutex
	at map[meta.Ino]int64 // ns
}

func (a *accesses) init() { a.at = make(map[meta.Ino]int64) }

// note remembers an access.
func (a *accesses) note(ino meta.Ino, now int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.at[ino]; ok || len(a.at) < maxAccesses {
		a.at[ino] = now
	}
}

// over gives the access time of an inode with what was not sent.
func (a *accesses) over(ino meta.Ino, atime int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(atime, a.at[ino])
}

// all lists the inodes.
func (a *accesses) all() map[meta.Ino]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make(map[meta.Ino]int64, len(a.at))
	for ino, at := range a.at {
		list[ino] = at
	}
	return list
}

// sent forgets an access, unless there was another since.
func (a *accesses) sent(ino meta.Ino, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at[ino] == at {
		delete(a.at, ino)
	}
}

// accessDue reports whether a read now changes the access time.
func (fs *FS) accessDue(ino meta.Ino, a *meta.Attr) bool {
	if fs.opts.Atime == AtimeOff || fs.opts.ReadOnly {
		return false
	}
	atime := fs.accesses.over(ino, a.Atime)
	return atime <= a.Mtime || atime <= a.Ctime || fs.now()-atime >= int64(staleAtime)
}

// accessed notes that somebody has read an inode.
func (fs *FS) accessed(ino meta.Ino, a *meta.Attr) {
	if fs.accessDue(ino, a) {
		fs.accesses.note(ino, fs.now())
	}
}

// accessedFile is accessed for an open file.
func (fs *FS) accessedFile(in *inode) {
	if fs.opts.Atime == AtimeOff {
		return
	}
	in.mu.RLock()
	a := in.merged()
	valid := in.valid
	in.mu.RUnlock()
	if valid {
		fs.accessed(in.ino, &a)
	}
}

// sendsAccesses sends what was noted now and then, until ctx ends.
func (fs *FS) sendsAccesses(ctx context.Context) {
	for pause(ctx, fs.opts.FlushAge) {
		fs.sendAccesses(ctx)
	}
}

// sendAccesses sends what was noted. What fails is given up: it is a time of reading.
func (fs *FS) sendAccesses(ctx context.Context) {
	for ino, at := range fs.accesses.all() {
		if ctx.Err() != nil {
			return
		}
		_, err := fs.change(ctx, meta.SetAttr{Ino: ino, Set: meta.SetAccessed, Atime: at})
		fs.accesses.sent(ino, at)
		if errors.Is(err, meta.ErrUnreachable) {
			return // the rest would wait as long
		}
		if err != nil {
			fs.log.DebugContext(ctx, "access time could not be set", inoAttr(ino), errAttr(err))
		}
	}
}
