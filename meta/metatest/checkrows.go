package metatest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"mirrorfs/meta"
)

// rows are all rows of a volume, as a Scan gives them.
type rows struct {
	inodes   map[meta.Ino]meta.Attr
	entries  map[entryKey]meta.Effect
	lists    map[listKey][]meta.Extent
	targets  map[meta.Ino]string
	xattrs   map[meta.Ino]int
	refs     map[uint64]uint32
	freed    map[uint64]uint64 // slice to the seq that freed it
	orphans  map[meta.Ino]int
	sessions map[meta.SessionID]bool
	replies  map[meta.SessionID]int
	quotas   map[meta.Ino]meta.Quota
	names    map[meta.Ino]map[meta.Ino]uint32

	problems []string
}

type entryKey struct {
	parent meta.Ino
	name   string
}

type listKey struct {
	ino   meta.Ino
	index uint32
}

// checkRows scans all rows and looks whether they agree with each other. It
// returns what is wrong, one line each.
func checkRows(t testing.TB, s meta.Source) string {
	t.Helper()
	state, err := s.State(t.Context())
	if err != nil {
		return err.Error()
	}
	effects, err := scan(t.Context(), s, 64, nil)
	if err != nil {
		return err.Error()
	}
	r := sortRows(distinct(effects))
	r.checkTree()
	r.checkFiles()
	r.checkNames()
	r.checkQuotas()
	r.checkSlices()
	r.checkKnown(t.Context(), s)
	r.checkCounters(&state)
	for id := range r.replies {
		if !r.sessions[id] {
			r.complain("session %x has replies but is none", id)
		}
	}
	slices.Sort(r.problems)
	return strings.Join(r.problems[:min(len(r.problems), 20)], "\n")
}

// scan reads all batches; between, if not nil, is called before each but the first.
func scan(ctx context.Context, s meta.Source, limit int, between func()) ([]meta.Effect, error) {
	var all []meta.Effect
	var cursor meta.Cursor
	for {
		batch, err := s.Scan(ctx, cursor, limit)
		if err != nil {
			return nil, fmt.Errorf("scan from %q: %w", cursor, err)
		}
		effects, err := meta.DecodeEffects(batch.Effects)
		if err != nil {
			return nil, fmt.Errorf("scan from %q: %w", cursor, err)
		}
		all = append(all, effects...)
		if cursor = batch.Next; cursor == nil {
			return all, nil
		}
		if between != nil {
			between()
		}
	}
}

// distinct drops repetitions: a scan may give a row more than once.
func distinct(effects []meta.Effect) []meta.Effect {
	seen := map[string]bool{}
	return slices.DeleteFunc(effects, func(e meta.Effect) bool {
		row := string(meta.AppendEffect(nil, &e))
		repeated := seen[row]
		seen[row] = true
		return repeated
	})
}

func sortRows(effects []meta.Effect) *rows {
	r := &rows{
		inodes: map[meta.Ino]meta.Attr{}, entries: map[entryKey]meta.Effect{}, lists: map[listKey][]meta.Extent{},
		targets: map[meta.Ino]string{}, xattrs: map[meta.Ino]int{}, refs: map[uint64]uint32{}, freed: map[uint64]uint64{},
		orphans: map[meta.Ino]int{}, sessions: map[meta.SessionID]bool{}, replies: map[meta.SessionID]int{},
		quotas: map[meta.Ino]meta.Quota{}, names: map[meta.Ino]map[meta.Ino]uint32{},
	}
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case meta.EffectInode:
			r.inodes[e.Ino] = e.Attr
		case meta.EffectEntry:
			r.entries[entryKey{e.Parent, e.Name}] = *e
		case meta.EffectChunk:
			list, err := meta.DecodeExtents(e.Value)
			if err != nil || len(list) == 0 || e.Keep != 0 {
				r.complain("inode %d chunk %d: list of %d extents, keep %d, %v", e.Ino, e.Index, len(list), e.Keep, err)
			}
			r.lists[listKey{e.Ino, e.Index}] = list
		case meta.EffectTarget:
			r.targets[e.Ino] = string(e.Value)
		case meta.EffectXattr:
			r.xattrs[e.Ino]++
		case meta.EffectRefs:
			r.refs[e.Slice.ID] = e.Count
		case meta.EffectFreed:
			for _, s := range e.Slices {
				if seq, ok := r.freed[s.ID]; ok && seq != e.Seq {
					r.complain("slice %d was freed by %d and by %d", s.ID, seq, e.Seq)
				}
				r.freed[s.ID] = e.Seq
			}
		case meta.EffectOrphan:
			r.orphans[e.Ino]++
		case meta.EffectSession:
			r.sessions[e.Session] = true
		case meta.EffectReply:
			r.replies[e.Session]++
		case meta.EffectQuota:
			r.quotas[e.Quota.Dir] = e.Quota
		case meta.EffectNames:
			if r.names[e.Ino] == nil {
				r.names[e.Ino] = map[meta.Ino]uint32{}
			}
			r.names[e.Ino][e.Parent] = e.Count
		case meta.EffectSetting:
		default:
			r.complain("a scan gives an effect of kind %c", e.Kind)
		}
	}
	return r
}

func (r *rows) complain(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// checkTree compares entries with link counts, sizes and parents.
func (r *rows) checkTree() {
	names, entries, subdirs := map[meta.Ino]int{}, map[meta.Ino]uint64{}, map[meta.Ino]uint32{}
	for k, e := range r.entries {
		a, ok := r.inodes[e.Ino]
		dir := r.inodes[k.parent]
		if !ok || a.Type() != e.Type || !dir.IsDir() {
			r.complain("%q in %d names inode %d of type %o, which is of mode %o", k.name, k.parent, e.Ino, e.Type, a.Mode)
		}
		names[e.Ino]++
		entries[k.parent]++
		if a.IsDir() {
			subdirs[k.parent]++
			if a.Parent != k.parent {
				r.complain("directory %d is in %d, but says %d", e.Ino, k.parent, a.Parent)
			}
		}
	}
	for ino, a := range r.inodes {
		want := uint32(names[ino])
		switch {
		case a.IsDir():
			if root := ino == meta.RootIno; root && want != 0 || !root && int(want)+r.orphans[ino] != 1 {
				r.complain("directory %d has %d names and is %d orphans", ino, want, r.orphans[ino])
			}
			if want = 2 + subdirs[ino]; r.orphans[ino] > 0 {
				want = subdirs[ino]
			}
			if a.Size != entries[ino] {
				r.complain("directory %d has %d entries, but says %d", ino, entries[ino], a.Size)
			}
		case (want == 0) != (r.orphans[ino] == 1) || r.orphans[ino] > 1:
			r.complain("inode %d has %d names and is %d orphans", ino, want, r.orphans[ino])
		}
		if a.Nlink != want {
			r.complain("inode %d should have %d links, has %d", ino, want, a.Nlink)
		}
	}
	for ino := range r.orphans {
		if _, ok := r.inodes[ino]; !ok {
			r.complain("orphan %d has no inode", ino)
		}
	}
}

// checkFiles compares inodes with the rows that hang on them.
func (r *rows) checkFiles() {
	hasList := map[meta.Ino]bool{}
	for k := range r.lists {
		hasList[k.ino] = true
	}
	for ino := range hasList {
		if a := r.inodes[ino]; !a.HasChunks {
			r.complain("inode %d of mode %o has extent lists, but says that it has none", ino, a.Mode)
		}
	}
	for ino, n := range r.xattrs {
		if a := r.inodes[ino]; !a.HasXattrs {
			r.complain("inode %d of mode %o has %d extended attributes, but says that it has none", ino, a.Mode, n)
		}
	}
	for ino, target := range r.targets {
		if a := r.inodes[ino]; a.Type() != meta.TypeSymlink || a.Size != uint64(len(target)) {
			r.complain("inode %d of mode %o and size %d has a target of %d bytes", ino, a.Mode, a.Size, len(target))
		}
	}
	for ino, a := range r.inodes {
		if _, ok := r.targets[ino]; !ok && a.Type() == meta.TypeSymlink {
			r.complain("symbolic link %d has no target", ino)
		}
		if a.HasChunks && !hasList[ino] {
			r.complain("inode %d says that it has extent lists, but has none", ino)
		}
	}
}

// checkSlices counts the extents of each slice.
func (r *rows) checkSlices() {
	extents := map[uint64]uint32{}
	count := func(e *meta.Extent) {
		if e.Slice != 0 {
			extents[e.Slice]++
		}
	}
	for _, list := range r.lists {
		for i := range list {
			count(&list[i])
		}
	}
	for _, a := range r.inodes {
		if a.Inline != nil {
			count(a.Inline)
		}
	}
	for id, n := range extents {
		if r.refs[id] != n-1 {
			r.complain("slice %d has %d extents, but %d references beyond the first", id, n, r.refs[id])
		}
		if seq, ok := r.freed[id]; ok {
			r.complain("slice %d was freed by %d and has %d extents", id, seq, n)
		}
	}
	for id, n := range r.refs {
		if extents[id] == 0 {
			r.complain("slice %d has no extents, but %d references beyond the first", id, n)
		}
	}
}

// checkKnown looks whether the engine knows exactly the slices that are referenced or
// freed; checkSlices has seen that none is both.
func (r *rows) checkKnown(ctx context.Context, s meta.Source) {
	reclaimer, ok := s.(meta.Reclaimer)
	if !ok {
		return
	}
	in := map[uint64]bool{}
	highest := uint64(0)
	note := func(id uint64) { in[id], highest = true, max(highest, id) }
	for _, list := range r.lists {
		for i := range list {
			note(list[i].Slice)
		}
	}
	for _, a := range r.inodes {
		if a.Inline != nil {
			note(a.Inline.Slice)
		}
	}
	for id := range r.freed {
		note(id)
	}
	var ids []uint64
	for id := uint64(1); id <= min(highest, 50_000)+1; id++ {
		ids = append(ids, id)
	}
	for some := range slices.Chunk(ids, meta.MaxKnown) {
		known, err := reclaimer.Known(ctx, some)
		if err != nil {
			r.complain("asking for slices: %v", err)
			return
		}
		for i, id := range some {
			if known[i] != in[id] {
				r.complain("slice %d is known: %v; it is referenced or freed: %v", id, known[i], in[id])
			}
		}
	}
}

func (r *rows) checkCounters(s *meta.State) {
	var usage meta.Usage
	for ino, a := range r.inodes {
		if ino >= s.NextIno {
			r.complain("inode %d exists, the next is %d", ino, s.NextIno)
		}
		if a.Nlink == 0 {
			continue
		}
		usage.Inodes++
		if a.IsFile() {
			usage.Bytes += (a.Size + 4095) / 4096 * 4096
		}
	}
	if usage != s.Usage {
		r.complain("the inodes sum up to %+v, the volume says %+v", usage, s.Usage)
	}
}

// renderRows writes all rows down, sorted, to compare two sites.
func renderRows(effects []meta.Effect) string {
	lines := map[string]bool{}
	for i := range effects {
		lines[fmt.Sprintf("%c %x", effects[i].Kind, meta.AppendEffect(nil, &effects[i]))] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "\n")
}
