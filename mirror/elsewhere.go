package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mirrorfs/meta"
	"mirrorfs/mirror/replicate"
	"mirrorfs/object"
)

// DataElsewhere tells which blocks that a site's metadata names are not in its own bucket. They are read
// where they are, as long as that bucket answers, and give EIO when it does not.
type DataElsewhere struct {
	Mode string `json:"mode"`
	// CompleteTo is up to which position all data is here, of a mirror in ModeFull.
	CompleteTo meta.Position `json:"complete_to,omitzero"`
	// Everything: the site has no bucket, so it is all data.
	Everything bool `json:"everything,omitempty"`
	// Objects and Bytes count what is not here, Slices what was looked for.
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
	Slices  uint64 `json:"slices_looked_for"`
	// Sites are the homes of it, where it should be found.
	Sites []string `json:"at_sites,omitempty"`
	// Files need it; MoreFiles counts those that are not listed.
	Files     []FileElsewhere `json:"files,omitempty"`
	MoreFiles uint64          `json:"more_files,omitempty"`
	// Unfinished says why not all was looked for: there may be more.
	Unfinished string `json:"unfinished,omitempty"`
}

// FileElsewhere is a file with blocks that are not at a site.
type FileElsewhere struct {
	Inode   meta.Ino `json:"inode"`
	Path    string   `json:"path,omitempty"` // empty when none is found
	Objects uint64   `json:"objects"`
	Bytes   uint64   `json:"bytes"`
}

const (
	// maxElsewhere is how many files are listed.
	maxElsewhere = 1000
	// lookJobs is how many blocks are looked for at a time.
	lookJobs = 16
)

// lookForData looks which data the bucket of this site lacks: of what was written since the watermark of the
// copying, or of everything where there is none.
func (p *promotion) lookForData(ctx context.Context) (*DataElsewhere, error) {
	d := p.opts.Data
	local, err := p.site.Local(ctx)
	if err != nil {
		return nil, err
	}
	v, err := p.site.Volume(ctx)
	if err != nil {
		return nil, err
	}
	res := &DataElsewhere{Mode: p.info.Mode, Everything: v.Sites[p.info.Site].Bucket == ""}
	if res.Everything {
		return res, nil
	}
	if p.info.Mode == ModeFull {
		res.CompleteTo = dataStatus(&p.info, local, meta.Position{}).CompleteTo
	}
	look := &looking{cfg: d, v: &v, own: p.info.Site, res: res, missing: map[uint64]meta.Slice{}, files: map[meta.Ino]*FileElsewhere{}}
	looking, cancel := context.WithTimeout(ctx, p.opts.LookForData)
	defer cancel()
	err = look.run(looking, p.info.Subtree == "")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil { // it is not what a promotion fails for
		res.Unfinished = err.Error()
	}
	look.finish(ctx)
	return res, nil
}

// looking is a look for blocks in the bucket of a site.
type looking struct {
	cfg    *DataConfig
	v      *meta.Volume
	own    uint8
	bucket object.Store
	res    *DataElsewhere

	mu      sync.Mutex
	missing map[uint64]meta.Slice
	files   map[meta.Ino]*FileElsewhere
}

// needed is a slice that a file needs.
type needed struct {
	slice meta.Slice
	ino   meta.Ino
}

func (l *looking) run(ctx context.Context, whole bool) (err error) {
	if l.bucket, err = l.cfg.Open(ctx, l.v.Sites[l.own]); err != nil {
		return fmt.Errorf("bucket of site %s: %w", l.v.Sites[l.own].Name, err)
	}
	defer func() { err = errors.Join(err, l.bucket.Close()) }()
	if whole && !l.res.CompleteTo.IsZero() {
		err := writtenSince(ctx, l.cfg.Site, l.res.CompleteTo, func(some []needed) error { return l.look(ctx, some) })
		if !errors.Is(err, meta.ErrGap) {
			return err
		}
	}
	return l.rows(ctx)
}

// rows looks for the data of all rows.
func (l *looking) rows(ctx context.Context) error {
	var cursor meta.Cursor
	for {
		b, err := l.cfg.Site.Scan(ctx, cursor, lookRows)
		if err != nil {
			return err
		}
		effects, err := meta.DecodeEffects(b.Effects)
		if err != nil {
			return err
		}
		some, err := neededBy(effects, nil)
		if err != nil {
			return err
		}
		if err := l.look(ctx, some); err != nil {
			return err
		}
		if cursor = b.Next; cursor == nil {
			return nil
		}
	}
}

// lookRows is how many rows are looked at at a time.
const lookRows = 2000

// writtenSince gives the slices that were made known after a position, and who needs them, some at a
// time; meta.ErrGap when the log does not hold all of that any more.
func writtenSince(ctx context.Context, site replicate.Site, after meta.Position, give func([]needed) error) error {
	for {
		here, err := site.State(ctx)
		if err != nil {
			return err
		}
		if !after.Before(here.Position) {
			return nil
		}
		entries, err := site.Tail(ctx, after, drainRecords, 0)
		if err != nil {
			return err
		}
		for i := range entries {
			rec, err := meta.DecodeRecord(entries[i].Raw)
			if err != nil {
				return fmt.Errorf("record %s: %w", entries[i].Position, err)
			}
			written := map[uint64]bool{}
			for j := range rec.Effects {
				if e := &rec.Effects[j]; e.Kind == meta.EffectSliceWritten {
					written[e.Slice.ID] = true
				}
			}
			if len(written) > 0 {
				some, err := neededBy(rec.Effects, written)
				if err == nil {
					err = give(some)
				}
				if err != nil {
					return err
				}
			}
			after = entries[i].Position
		}
	}
}

// neededBy gives the slices that rows refer to, or only those of a set, each once for each inode.
func neededBy(effects []meta.Effect, only map[uint64]bool) ([]needed, error) {
	var list []needed
	seen := map[needed]bool{}
	add := func(ino meta.Ino, extents []meta.Extent) {
		for i := range extents {
			e := &extents[i]
			n := needed{slice: meta.Slice{ID: e.Slice, Home: e.Home, Size: e.Size}, ino: ino}
			if e.Slice != 0 && e.Size != 0 && !seen[n] && (only == nil || only[e.Slice]) {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	for i := range effects {
		switch e := &effects[i]; e.Kind {
		case meta.EffectInode:
			if e.Attr.Inline != nil {
				add(e.Ino, []meta.Extent{*e.Attr.Inline})
			}
		case meta.EffectChunk:
			extents, err := meta.DecodeExtents(e.Value)
			if err != nil {
				return nil, fmt.Errorf("chunk %d of inode %d: %w", e.Index, e.Ino, err)
			}
			add(e.Ino, extents)
		default:
		}
	}
	return list, nil
}

// look asks the bucket for the blocks of slices that have their home elsewhere.
func (l *looking) look(ctx context.Context, some []needed) error {
	byslice := map[meta.Slice][]meta.Ino{}
	for _, n := range some {
		if _, borrowed := l.v.Origins[n.slice.Home]; n.slice.Home != l.own && !borrowed {
			byslice[n.slice] = append(byslice[n.slice], n.ino)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookJobs)
	for slice, inos := range byslice {
		g.Go(func() error {
			objects, bytes, err := l.lacks(ctx, slice)
			if err == nil && objects > 0 {
				if known, askErr := l.cfg.Site.Known(ctx, []uint64{slice.ID}); askErr != nil || len(known) == 1 && !known[0] {
					return askErr // nil: it was freed and reclaimed
				}
			}
			if err == nil {
				l.note(slice, inos, objects, bytes)
			}
			return err
		})
	}
	return g.Wait()
}

// lacks counts the blocks of a slice that the bucket has not, or not whole.
func (l *looking) lacks(ctx context.Context, slice meta.Slice) (objects, bytes uint64, err error) {
	for _, o := range l.cfg.Objects(slice, l.v.BlockBytes) {
		info, err := l.bucket.Head(ctx, o.Key)
		if err != nil && !errors.Is(err, object.ErrNotExist) {
			return 0, 0, err
		}
		if err != nil || info.Size != o.Bytes {
			objects, bytes = objects+1, bytes+uint64(o.Bytes) //nolint:gosec // a size
		}
	}
	return objects, bytes, nil
}

func (l *looking) note(slice meta.Slice, inos []meta.Ino, objects, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.res.Slices++
	if objects == 0 {
		return
	}
	if _, counted := l.missing[slice.ID]; !counted { // many files may share it
		l.missing[slice.ID] = slice
		l.res.Objects, l.res.Bytes = l.res.Objects+objects, l.res.Bytes+bytes
	}
	for _, ino := range inos {
		f := l.files[ino]
		if f == nil && len(l.files) >= maxElsewhere {
			l.res.MoreFiles++
			continue
		}
		if f == nil {
			f = &FileElsewhere{Inode: ino}
			l.files[ino] = f
		}
		f.Objects, f.Bytes = f.Objects+objects, f.Bytes+bytes
	}
}

// finish names the files and the sites.
func (l *looking) finish(ctx context.Context) {
	places := newPaths(l.cfg.Site)
	for _, ino := range slices.Sorted(maps.Keys(l.files)) {
		f := l.files[ino]
		f.Path = places.of(ctx, ino)
		l.res.Files = append(l.res.Files, *f)
	}
	homes := map[uint8]bool{}
	for _, s := range l.missing {
		homes[s.Home] = true
	}
	for _, id := range slices.Sorted(maps.Keys(homes)) {
		l.res.Sites = append(l.res.Sites, l.v.Sites[id].Name)
	}
}
