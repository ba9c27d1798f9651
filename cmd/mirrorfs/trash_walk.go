package main

import (
	"context"
	"errors"
	"path"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// trashWalk goes through a volume's trash and finds out where things were. It holds a
// page of the trash and a bounded number of names.
type trashWalk struct {
	e     meta.Engine
	trash meta.Purger
	// places has for inodes the directory and the name there.
	places map[meta.Ino]place
}

// place is where an inode is or was. Parent 0: nobody knows.
type place struct {
	parent meta.Ino
	name   string
}

const maxPlaces = 20_000

func newTrashWalk(e meta.Engine) (*trashWalk, error) {
	p, err := trashOf(e)
	return &trashWalk{e: e, trash: p, places: map[meta.Ino]place{}}, err
}

// newestFirst calls do for each orphan, the latest first, until it returns false. What is
// being purged is left out.
func (w *trashWalk) newestFirst(ctx context.Context, do func(o meta.Orphan) (bool, error)) error {
	const least, most = 256, meta.MaxPageEntries
	oldest, err := w.trash.Orphans(ctx, meta.Orphan{Ino: meta.MaxIno}, time.Unix(1<<35, 0), 1)
	if err != nil || len(oldest) == 0 {
		return err
	}
	// Clocks of clients differ: begin well after now.
	high, width := time.Now().Add(24*time.Hour).UnixMilli(), int64(48*time.Hour/time.Millisecond)
	for high > oldest[0].UnlinkedMs {
		low := max(high-width, 1)
		page, more, err := w.window(ctx, low, high)
		if err != nil {
			return err
		}
		if more && width > 1 {
			width = max(width/4, 1)
			continue
		}
		for i := len(page) - 1; i >= 0; i-- {
			if goOn, err := do(page[i]); !goOn || err != nil {
				return err
			}
		}
		high = low
		if len(page) < least {
			width *= 2
		}
	}
	return nil
}

// window lists the orphans of a time, unless there are more than a page and the time can
// be shorter.
func (w *trashWalk) window(ctx context.Context, low, high int64) (all []meta.Orphan, more bool, err error) {
	after := meta.Orphan{UnlinkedMs: low - 1, Ino: meta.MaxIno}
	for {
		page, err := w.trash.Orphans(ctx, after, time.UnixMilli(high), meta.MaxPageEntries)
		if all = append(all, page...); err != nil || len(page) < meta.MaxPageEntries {
			return all, false, err
		}
		if high-low > 1 {
			return nil, true, nil
		}
		after = page[len(page)-1]
	}
}

// pathOf gives the path that an orphan had. Where a directory is not known any more, it
// begins with "?".
func (w *trashWalk) pathOf(ctx context.Context, o meta.Orphan) (string, error) {
	if len(w.places) > maxPlaces {
		clear(w.places)
	}
	name, ino := o.Name, o.Parent
	for ino != meta.RootIno {
		p, err := w.place(ctx, ino)
		if err != nil {
			return "", err
		}
		if p.parent == 0 {
			return path.Join("?", name), nil
		}
		name, ino = path.Join(p.name, name), p.parent
	}
	return "/" + name, nil
}

// place finds where an inode is or was.
func (w *trashWalk) place(ctx context.Context, ino meta.Ino) (place, error) {
	if p, ok := w.places[ino]; ok {
		return p, nil
	}
	n, err := w.e.GetAttr(ctx, ino)
	switch {
	case errors.Is(err, syscall.ENOENT):
		w.places[ino] = place{}
	case err != nil:
		return place{}, err
	case n.Attr.Nlink == 0:
		o, err := w.trash.Orphan(ctx, ino)
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return place{}, err
		}
		w.places[ino] = place{parent: o.Parent, name: o.Name}
	default:
		w.places[ino] = place{}
		if err := w.list(ctx, n.Attr.Parent, ino); err != nil {
			return place{}, err
		}
	}
	return w.places[ino], nil
}

// list goes through a directory until it finds an inode, and remembers all that it meets.
func (w *trashWalk) list(ctx context.Context, dir, wanted meta.Ino) error {
	after := ""
	for {
		page, err := w.e.ReadDir(ctx, dir, after, 1024)
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			w.places[e.Node.Ino] = place{parent: dir, name: e.Name}
		}
		if w.places[wanted].parent != 0 || !page.More || len(page.Entries) == 0 {
			return nil
		}
		after = page.Entries[len(page.Entries)-1].Name
		if len(w.places) > maxPlaces {
			clear(w.places)
		}
	}
}
