package fsck

import (
	"context"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
)

// What Inspector.Keyed tells an inode has.
const (
	KeyedEntries = "entries"
	KeyedPages   = "pages of entries"
	KeyedLists   = "extent lists"
	KeyedXattrs  = "extended attributes"
	KeyedNames   = "names in several directories"
)

// Inspector is the optional power of a Source to show what is not in its rows, but in how it
// keeps them.
type Inspector interface {
	// Referenced gives the slices that are taken for referenced or freed, some at a time,
	// in no order, and some more than once.
	Referenced(ctx context.Context, each func(slices []uint64)) error
	// Keyed gives the inodes that have rows of some kind, in no order and some more than
	// once.
	Keyed(ctx context.Context, each func(ino meta.Ino, what string)) error
	// Orphans gives what is listed as deleted, as meta.Purger does.
	Orphans(ctx context.Context, after meta.Orphan, before time.Time, limit int) ([]meta.Orphan, error)
	// CheckPages says what is wrong with how the entries of a directory are kept; empty
	// when nothing is.
	CheckPages(ctx context.Context, dir meta.Ino) (string, error)
}

// inspection is what an engine told of what rows do not show.
type inspection struct {
	known map[uint64]bool // slices taken for referenced or freed
	keyed []keyed
	since touched // what has changed since the rows were read, of which nothing is to be told
}

type keyed struct {
	ino  meta.Ino
	what string
}

// ask asks an engine for what rows do not show. It is asked after the rows were read, so
// whatever was touched since then is left out.
func (c *checker) ask(ctx context.Context, src Source) error {
	e, ok := src.(Inspector)
	if !ok {
		return nil
	}
	in := &inspection{known: map[uint64]bool{}, since: touched{inodes: map[meta.Ino]bool{}, slices: map[uint64]bool{}}}
	err := e.Referenced(ctx, func(some []uint64) {
		for _, id := range some {
			in.known[id] = true
		}
	})
	if err != nil {
		return err
	}
	err = e.Keyed(ctx, func(ino meta.Ino, what string) {
		a, ok := c.t.attr(ino)
		unseen := what == KeyedLists && !a.HasChunks || what == KeyedXattrs && !a.HasXattrs || what == KeyedNames && !a.Spread
		if !ok || unseen || what == KeyedPages && a.IsDir() {
			in.keyed = append(in.keyed, keyed{ino, what})
		}
	})
	if err != nil {
		return err
	}
	var orphans []meta.Orphan
	for after := (meta.Orphan{}); ; {
		some, err := e.Orphans(ctx, after, time.UnixMilli(maxMs), meta.MaxPageEntries)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		orphans = append(orphans, some...)
		after = some[len(some)-1]
	}
	head, err := src.State(ctx)
	if err != nil {
		return err
	}
	if _, err := dump.Follow(ctx, src, c.t.state, head.Position, &in.since, dump.Options{}); err != nil {
		return err
	}
	for _, o := range orphans { // those of inodes that are no orphans, or not at all, are in no scan
		if !in.since.inodes[o.Ino] {
			c.t.orphans[o.Ino] = o
		}
	}
	c.told = in
	return nil
}

// inspect compares what the engine told with the rows.
func (c *checker) inspect(ctx context.Context, src Source) error {
	in := c.told
	if in == nil {
		return nil
	}
	seen := map[keyed]bool{}
	for _, k := range in.keyed {
		if in.since.inodes[k.ino] || seen[k] || c.t.bad[k.ino] != nil || k.ino >= c.t.state.NextIno {
			continue
		}
		seen[k] = true
		if _, ok := c.t.attr(k.ino); !ok {
			c.find(KindStray, k.ino, "it does not exist, and has %s", k.what)
			c.hidden = c.hidden || k.what == KeyedLists
			continue
		}
		if k.what != KeyedPages {
			c.findUnseen(k.ino, k.what)
			continue
		}
		if e, ok := src.(Inspector); ok {
			problem, err := e.CheckPages(ctx, k.ino)
			if err != nil {
				return err
			}
			if problem != "" {
				c.find(KindPages, k.ino, "%s", problem)
			}
		}
	}
	c.compareReferenced(in.known, &in.since)
	c.withhold()
	return nil
}

// findUnseen is for rows that an inode says it does not have.
func (c *checker) findUnseen(ino meta.Ino, what string) {
	a, _ := c.t.attr(ino)
	f := c.find(KindAttributes, ino, "it has %s, and says that it has none", what)
	if what == KeyedLists {
		c.hidden = true
		if !a.IsFile() || a.Inline != nil { // which of the two is the content is anybody's guess
			return
		}
	}
	x, right := c.fixOf(ino)
	right.HasChunks = a.HasChunks || what == KeyedLists
	right.HasXattrs = a.HasXattrs || what == KeyedXattrs
	if what == KeyedNames { // what it says is right: its names were counted
		f.Repair, f.fix = "", nil
		return
	}
	f.mend("correct what it says", x)
}

// withhold leaves slices alone that seem to be unused, while there are extents that were not
// read: they may be the ones. The next check, after what hides them was mended, tells.
func (c *checker) withhold() {
	if !c.hidden {
		return
	}
	for _, f := range c.findings {
		counts := len(c.t.bad) > 0 && (f.Kind == KindUsage || f.Kind == KindQuota)
		if f.fix != nil && (f.Kind == KindReferences || counts) {
			f.Repair, f.fix = "", nil
			f.Problem += "; not to be mended before all files can be read"
		}
	}
}

// compareReferenced compares what the engine takes for referenced or freed with what is.
func (c *checker) compareReferenced(known map[uint64]bool, since *touched) {
	mark := func(id uint64, s meta.Slice, what string, expect meta.Effect) {
		s.ID = id
		if known[id] || since.slices[id] {
			return
		}
		c.findSlice(id, KindReferences, "it %s, and is not marked as referenced", what).mend("mark it", &fix{repair: meta.Repair{
			Expect: []meta.Effect{expect}, Effects: []meta.Effect{{Kind: meta.EffectSliceWritten, Slice: s}},
		}})
	}
	for id, u := range c.t.slices {
		if _, freed := c.isFreed[id]; !freed { // that is told already
			mark(id, meta.Slice{Home: u.home, Size: u.size}, "has extents", c.t.inodeEffect(u.owner))
		}
	}
	for id, row := range c.isFreed {
		if c.t.slices[id].count == 0 {
			mark(id, meta.Slice{}, "is freed", row)
		}
	}
	for id := range known {
		_, freed := c.isFreed[id]
		if _, used := c.t.slices[id]; used || freed || since.slices[id] {
			continue
		}
		// Its blocks, if there are any, are left for who collects what nobody refers to. No
		// record has seq 0, so its row is no other's.
		c.findSlice(id, KindReferences, "it is marked as referenced, and has no extents").mend("remove the mark", &fix{repair: meta.Repair{
			Expect: []meta.Effect{
				{Kind: meta.EffectSliceWritten, Slice: meta.Slice{ID: id}},
				{Kind: meta.EffectRefs, Slice: meta.Slice{ID: id}, Count: c.t.refs[id]},
			},
			Effects: []meta.Effect{
				{Kind: meta.EffectFreed, Slices: []meta.Slice{{ID: id}}}, {Kind: meta.EffectFreedGone},
			},
		}})
	}
}

// touched collects what records are about.
type touched struct {
	inodes map[meta.Ino]bool
	slices map[uint64]bool
}

// Rows implements dump.Sink.
func (t *touched) Rows([]meta.Effect) error { return nil }

// Records implements dump.Sink.
func (t *touched) Records(_ []meta.LogEntry, records []meta.Record) error {
	for i := range records {
		for j := range records[i].Effects {
			e := &records[i].Effects[j]
			t.inodes[e.Ino], t.inodes[e.Parent] = true, true
			t.slices[e.Slice.ID] = true
			for _, s := range e.Slices {
				t.slices[s.ID] = true
			}
		}
	}
	return nil
}

// maxMs is later than any time that a row can have.
const maxMs = 1 << 48
