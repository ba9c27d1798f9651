package vfs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mirrorfs/chunk"
	"mirrorfs/meta"
)

// File is an open regular file. Its methods may be called concurrently;
// Release is called once, after all others.
type File struct {
	fs    *FS
	in    *inode
	flags uint32
	keep  bool
	// serial tells handles apart for ever.
	serial uint64
	// locked counts owners that have locked something through this handle; lost says
	// that such a lock is gone, and the handle with it.
	locked atomic.Int32
	lost   atomic.Bool
	// clearSetID: somebody else than root writes through this handle.
	clearSetID atomic.Bool

	mu sync.Mutex
	// told is inode.failures as of the last failure reported here.
	told  uint64
	ahead chunk.Readahead
}

// openChunks is how many chunks an open compares when the version alone does
// not say whether the file is as this client left it.
const openChunks = 16

// Create makes a regular file and opens it: one round trip. When the name is
// taken it fails with EEXIST if flags have O_EXCL, and opens what is there
// otherwise. c.Mode's type may be left out.
func (fs *FS) Create(ctx context.Context, c meta.Make, flags uint32) (meta.Node, *File, error) {
	if err := checkName("create", c.Parent, c.Name); err != nil {
		return meta.Node{}, nil, err
	}
	c.Mode = c.Mode&^meta.TypeMask | meta.TypeFile
	res, err := fs.change(ctx, c)
	if errors.Is(err, syscall.EEXIST) && flags&syscall.O_EXCL == 0 {
		return fs.openExisting(ctx, c, flags)
	}
	if err != nil {
		return meta.Node{}, nil, err
	}
	in := fs.table.acquire(res.Node.Ino)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.valid {
		in.attr, in.valid, in.askedAt = res.Node.Attr, true, fs.now()
		in.complete, in.sure, in.pagesOK = true, true, true
	}
	return meta.Node{Ino: in.ino, Attr: in.merged()}, fs.newFile(in, flags, true), nil
}

func (fs *FS) openExisting(ctx context.Context, c meta.Make, flags uint32) (meta.Node, *File, error) {
	node, err := fs.Lookup(ctx, c.Parent, c.Name)
	if err != nil {
		return meta.Node{}, nil, err
	}
	f, err := fs.Open(ctx, node.Ino, flags)
	if err != nil {
		return meta.Node{}, nil, err
	}
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	return meta.Node{Ino: node.Ino, Attr: f.in.merged()}, f, nil
}

// Open opens a regular file (EISDIR for a directory, EINVAL for anything else)
// with the flags of open(2), of which it heeds the access mode and O_TRUNC; for
// O_APPEND there is File.Append. It is one round trip, so that what any client closed before is seen.
func (fs *FS) Open(ctx context.Context, ino meta.Ino, flags uint32) (*File, error) {
	writes := flags&syscall.O_ACCMODE != syscall.O_RDONLY
	if fs.opts.ReadOnly && (writes || flags&syscall.O_TRUNC != 0) {
		return nil, refuse("open", ino, "", errReadOnly)
	}
	in := fs.table.acquire(ino)
	keep, err := fs.open(ctx, in, flags)
	if err != nil {
		fs.table.release(in)
		return nil, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return fs.newFile(in, flags, keep), nil
}

// newFile makes a handle. The caller gives it its reference, and holds in.mu.
func (fs *FS) newFile(in *inode, flags uint32, keep bool) *File {
	in.handles++
	return &File{
		fs: fs, in: in, flags: flags, keep: keep, told: in.failures, serial: fs.serials.Add(1),
		ahead: chunk.Readahead{BlockBytes: int64(fs.blocks.BlockBytes()), MaxBytes: fs.blocks.PrefetchBytes()},
	}
}

// open brings the inode up to date and reports whether pages that the kernel
// has of it are still right.
func (fs *FS) open(ctx context.Context, in *inode, flags uint32) (bool, error) {
	if in.forfeit.Load() {
		_ = fs.flush(ctx, in) // gives up what was written under a lost lock; others were told
	}
	if flags&syscall.O_TRUNC != 0 && flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		if _, err := fs.SetAttr(ctx, meta.SetAttr{Ino: in.ino, Set: meta.SetSize}); err != nil {
			return false, err
		}
	} else if err := fs.refresh(ctx, in); err != nil {
		return false, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := mustBeFile(&in.attr, in.ino); err != nil {
		return false, err
	}
	// The first read is to come here when it changes the access time.
	keep := in.pagesOK && in.sure && !fs.accessDue(in.ino, &in.attr)
	if !in.sure { // nobody can say any more
		in.forget()
	}
	in.pagesOK = true
	return keep, nil
}

func mustBeFile(a *meta.Attr, ino meta.Ino) error {
	switch {
	case a.IsFile():
		return nil
	case a.IsDir():
		return refuse("open", ino, "", syscall.EISDIR)
	default:
		return refuse("open", ino, "", syscall.EINVAL)
	}
}

// refresh asks for the attributes, and for the extents too when that tells
// whether somebody else wrote between two commits of this client.
func (fs *FS) refresh(ctx context.Context, in *inode) error {
	in.mu.RLock()
	compare := in.valid && !in.sure && in.complete && in.attr.Size <= openChunks*chunk.Bytes
	in.mu.RUnlock()
	if compare {
		return fs.load(ctx, in, 0)
	}
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	before := fs.learned.Load()
	node, err := fs.engine.GetAttr(ctx, in.ino)
	if err != nil {
		return err
	}
	fs.see(&node, before)
	return nil
}

// Ino is the file's inode.
func (f *File) Ino() meta.Ino { return f.in.ino }

// Flags are those that the file was opened with.
func (f *File) Flags() uint32 { return f.flags }

// KeepCache reports whether pages that the kernel cached when the file was open
// before still hold what the file holds.
func (f *File) KeepCache() bool { return f.keep }

// Size is the length of the file as this client knows it, buffered writes included.
func (f *File) Size() int64 {
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	return int64(f.in.size())
}

// Attr is what this client knows of the file's attributes, buffered writes included.
func (f *File) Attr() meta.Attr {
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	return f.in.merged()
}

// removedHere is how long after a change of this client took a file's last name an open
// of it is taken for one that had begun before. The kernel forgets a name with its own
// change: nobody here is led to the file by it later.
const removedHere = 10 * time.Second

// Stale reports whether the file has no name any more, no other handle of this FS
// keeps it, and it was not this FS that removed it just now: then whoever opened it
// was led there by a name that another client has taken away.
func (f *File) Stale() bool {
	f.in.mu.RLock()
	stale := f.in.attr.Nlink == 0 && f.in.handles == 1
	f.in.mu.RUnlock()
	if !stale {
		return false
	}
	f.fs.removing.Lock() // the reply to the change that removed it may be under way
	defer f.fs.removing.Unlock()
	return !f.fs.removed.since(f.in.ino, f.fs.now()-int64(removedHere))
}

// Release closes the handle: no other method is called afterwards. What is
// buffered and was not flushed goes on being flushed behind.
func (f *File) Release() {
	fs, in := f.fs, f.in
	f.releaseHandle()
	in.write.Lock()
	in.mu.Lock()
	in.handles--
	if in.handles == 0 && in.buffering() {
		if in.attr.Nlink == 0 && in.sealed == nil { // nobody can ever read it
			in.discard()
			fs.dirty.remove(fs, in)
		} else if in.active != nil {
			in.active.since = 0
			fs.wake()
		}
	}
	in.mu.Unlock()
	in.write.Unlock()
	fs.table.release(in)
}

// report gives a failure of which this handle has not been told, once.
func (f *File) report(op string) error {
	f.in.mu.RLock()
	failures, cause := f.in.failures, f.in.failure
	f.in.mu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told == failures {
		return nil
	}
	f.told = failures
	return refuse(op, f.in.ino, "", cause)
}

func (f *File) writable() bool { return f.flags&syscall.O_ACCMODE != syscall.O_RDONLY }

func (f *File) readable() bool { return f.flags&syscall.O_ACCMODE != syscall.O_WRONLY }
