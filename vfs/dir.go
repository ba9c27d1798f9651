package vfs

import (
	"context"
	"sync"
	"syscall"

	"mirrorfs/meta"
)

// How many entries a directory stream asks for: first, and at most.
const (
	firstPage = 1024
	leastPage = 64
)

// Dir is an open directory stream. Its methods may be called concurrently. It
// holds nothing that must be closed.
type Dir struct {
	fs  *FS
	ino meta.Ino

	mu sync.Mutex
	// names are those given so far; the cookie of names[i] is i + firstCookie.
	names nameList
	// page is what was fetched and starts after the cookie at.
	page  []meta.Entry
	at    uint64
	more  bool // names may follow the page
	limit int  // entries to ask for next
	// fetchedAt (ns) and learned say whether the page is still fresh.
	fetchedAt int64
	learned   uint64
	given     int // entries given from the page
	parent    meta.Ino
}

// Cookies: 0 is the start, 1 follows ".", 2 follows "..".
const (
	cookieDot    = 1
	cookieDotDot = 2
	firstCookie  = 3
)

// DirEntry is one entry of a directory stream.
type DirEntry struct {
	Name string
	// Node has attributes as of now, those of "." and ".." the type only.
	Node meta.Node
	// Next is the cookie to go on after this entry.
	Next uint64
}

// OpenDir opens a directory stream. No round trip; a missing directory shows at
// the first Read.
func (fs *FS) OpenDir(_ context.Context, ino meta.Ino) (*Dir, error) {
	return &Dir{fs: fs, ino: ino, limit: firstPage}, nil
}

// Read gives entries in byte order of names, "." and ".." first, from a cookie
// on: 0, or the Next of any entry this stream has given since offset 0 was
// last read. It calls emit until that returns false (the entry is then not
// taken) or the directory ends. Reading from 0 starts over and sees the
// directory as it is now. A name that exists throughout is given once, whatever
// is made, removed or renamed meanwhile. A directory that was removed is ENOENT.
//
// emit must not call the Dir.
func (d *Dir) Read(ctx context.Context, offset uint64, emit func(DirEntry) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case offset == 0:
		d.names.reset()
		d.page, d.at, d.more, d.limit = nil, cookieDotDot, true, firstPage
		d.learned = 0
	case offset > cookieDotDot+uint64(d.names.len()):
		return refuse("readdir", d.ino, "", syscall.EINVAL)
	}
	if offset < cookieDotDot {
		if err := d.start(ctx); err != nil {
			return err
		}
	}
	dots := [2]DirEntry{
		{Name: ".", Node: meta.Node{Ino: d.ino}, Next: cookieDot},
		{Name: "..", Node: meta.Node{Ino: d.parent}, Next: cookieDotDot},
	}
	for offset < cookieDotDot {
		e := dots[offset]
		e.Node.Attr.Mode = meta.TypeDir
		if !emit(e) {
			return nil
		}
		offset = e.Next
	}
	return d.rest(ctx, offset, emit)
}

// start finds the parent, and the first page at the same time.
func (d *Dir) start(ctx context.Context) error {
	ctx, cancel := d.fs.asking(ctx)
	defer cancel()
	type answer struct {
		node meta.Node
		err  error
	}
	asked := make(chan answer, 1)
	go func() {
		node, err := d.fs.engine.GetAttr(ctx, d.ino)
		asked <- answer{node, err}
	}()
	err := d.fetch(ctx, cookieDotDot)
	a := <-asked
	if a.err != nil {
		return a.err
	}
	d.parent = a.node.Attr.Parent
	d.fs.accessed(d.ino, &a.node.Attr)
	if d.ino == d.fs.opts.Root {
		d.parent = d.ino
	}
	return err
}

// rest gives the entries after the cookie offset.
func (d *Dir) rest(ctx context.Context, offset uint64, emit func(DirEntry) bool) error {
	ctx, cancel := d.fs.asking(ctx)
	defer cancel()
	d.stale(offset)
	for {
		i, ok := d.find(offset)
		if !ok {
			if err := d.fetch(ctx, offset); err != nil {
				return err
			}
			if i, ok = d.find(offset); !ok {
				return nil
			}
		}
		if i == len(d.page) {
			if !d.more {
				return nil
			}
			d.limit = min(2*d.limit, meta.MaxPageEntries)
			if err := d.fetch(ctx, offset); err != nil || len(d.page) == 0 {
				return err
			}
			continue
		}
		e := &d.page[i]
		next := d.cookie(offset, e.Name)
		if !emit(DirEntry{Name: e.Name, Node: e.Node, Next: next}) {
			return nil
		}
		d.given = i + 1
		offset = next
	}
}

// find gives the place in the page that follows the cookie.
func (d *Dir) find(offset uint64) (int, bool) {
	if d.page == nil {
		return 0, false
	}
	if offset == d.at {
		return 0, true
	}
	if offset < firstCookie {
		return 0, false
	}
	// Nearly always the reader goes on where it stopped.
	name := d.names.get(int(offset - firstCookie))
	if d.given > 0 && d.given <= len(d.page) && d.page[d.given-1].Name == string(name) {
		return d.given, true
	}
	for i := range d.page {
		if d.page[i].Name == string(name) {
			return i + 1, true
		}
	}
	return 0, false
}

// stale drops a page that may not tell the truth any more: it is old, or this
// client changed something since. Otherwise a name just removed would come back
// in the kernel's cache. Then less is asked for, as less was used.
func (d *Dir) stale(offset uint64) {
	if d.page == nil || d.learned == d.fs.learned.Load() && d.fetchedAt > d.fs.fresh() {
		return
	}
	if offset != d.at {
		d.limit = max(leastPage, min(d.limit, d.given+d.given/4))
	}
	d.page = nil
}

// fetch gets the page after a cookie.
func (d *Dir) fetch(ctx context.Context, offset uint64) error {
	after := ""
	if offset >= firstCookie {
		after = string(d.names.get(int(offset - firstCookie)))
	}
	d.learned, d.fetchedAt = d.fs.learned.Load(), d.fs.now()
	page, err := d.fs.engine.ReadDir(ctx, d.ino, after, d.limit)
	if err != nil {
		return err
	}
	for i := range page.Entries {
		d.fs.see(&page.Entries[i].Node, d.learned)
	}
	d.page, d.at, d.more, d.given = page.Entries, offset, page.More, 0
	if d.page == nil {
		d.page = []meta.Entry{}
	}
	return nil
}

// cookie gives the name that follows a cookie one of its own. A stream that was
// set back gives names new cookies where the directory has changed, so that old
// ones stay true.
func (d *Dir) cookie(offset uint64, name string) uint64 {
	next := int(offset) - cookieDotDot
	if next < d.names.len() && string(d.names.get(next)) == name {
		return uint64(next) + firstCookie
	}
	d.names.add(name)
	return uint64(d.names.len()) + cookieDotDot
}

// nameList holds many names in little memory.
type nameList struct {
	bytes []byte
	ends  []uint32
}

func (l *nameList) len() int { return len(l.ends) }

func (l *nameList) add(name string) {
	l.bytes = append(l.bytes, name...)
	l.ends = append(l.ends, uint32(len(l.bytes)))
}

func (l *nameList) get(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.bytes[start:l.ends[i]]
}

func (l *nameList) reset() { *l = nameList{} }
