package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mirrorfs/meta"
)

// The kinds of differences.
const (
	KindAttributes = "attributes"
	KindEntry      = "entry"
	KindExtents    = "extents"
	KindTarget     = "target" // of a symbolic link
	KindXattr      = "xattr"  // ACLs are among them
	KindNames      = "names"  // in which directories a file has names
	KindOrphan     = "orphan" // what was removed and is kept
	KindReferences = "references"
	KindQuota      = "quota"
	KindFreed      = "freed"
	KindSession    = "session"
	KindSetting    = "setting"
	KindMarks      = "marks"    // which slices are known
	KindCounters   = "counters" // next numbers, used bytes and inodes
	KindLog        = "log"      // the logs themselves
)

// Difference is a row that the two sites do not have alike.
type Difference struct {
	Kind  string   `json:"kind"`
	Inode meta.Ino `json:"inode,omitempty"` // what it is about; of an entry the directory
	Name  string   `json:"name,omitempty"`  // of an entry, an attribute, a setting
	Path  string   `json:"path,omitempty"`  // of the inode, where one is known
	// Problem says what is there and what should be.
	Problem string `json:"problem"`
}

// String writes a difference as a line.
func (d *Difference) String() string {
	where := d.Path
	switch {
	case where == "" && d.Inode != 0:
		where = fmt.Sprintf("inode %d", d.Inode)
	case where == "":
		where = "volume"
	case d.Inode != 0:
		where += fmt.Sprintf(" (inode %d)", d.Inode)
	}
	if d.Name != "" {
		return fmt.Sprintf("%s: %s %q: %s", where, d.Kind, d.Name, d.Problem)
	}
	return fmt.Sprintf("%s: %s: %s", where, d.Kind, d.Problem)
}

// Differ compares the rows that should be with those that are.
func Differ(want, got *Rows) []Difference {
	var all []Difference
	for key, w := range want.by {
		g, ok := got.by[key]
		switch {
		case !ok:
			all = append(all, about(&w.effect, "it is missing at the mirror"))
		case !w.equal(&g):
			all = append(all, about(&w.effect, problem(&w, &g)))
		}
	}
	for key, g := range got.by {
		if _, ok := want.by[key]; !ok {
			all = append(all, about(&g.effect, "the source does not have it"))
		}
	}
	slices.SortFunc(all, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Inode, b.Inode), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Problem, b.Problem))
	})
	return all
}

// about is a difference of the row of an effect.
func about(e *meta.Effect, problem string) Difference {
	d := Difference{Inode: e.Ino, Name: e.Name, Problem: problem}
	switch e.Kind {
	case meta.EffectInode:
		d.Kind = KindAttributes
	case meta.EffectEntry:
		d.Kind, d.Inode = KindEntry, e.Parent
	case meta.EffectChunk:
		d.Kind, d.Problem = KindExtents, fmt.Sprintf("chunk %d: %s", e.Index, problem)
	case meta.EffectTarget:
		d.Kind = KindTarget
	case meta.EffectXattr:
		d.Kind = KindXattr
	case meta.EffectNames:
		d.Kind, d.Problem = KindNames, fmt.Sprintf("in directory %d: %s", e.Parent, problem)
	case meta.EffectOrphan:
		d.Kind = KindOrphan
	case meta.EffectRefs:
		d.Kind, d.Problem = KindReferences, fmt.Sprintf("slice %d: %s", e.Slice.ID, problem)
	case meta.EffectQuota:
		d.Kind, d.Inode = KindQuota, e.Quota.Dir
	case meta.EffectFreed:
		d.Kind, d.Problem = KindFreed, fmt.Sprintf("%d slices freed by record %d: %s", len(e.Slices), e.Seq, problem)
	case meta.EffectSession:
		d.Kind, d.Problem = KindSession, fmt.Sprintf("session %016x: %s", uint64(e.Session), problem)
	case meta.EffectReply:
		d.Kind, d.Problem = KindSession, fmt.Sprintf("session %016x, reply of slot %d: %s", uint64(e.Session), e.Slot, problem)
	case meta.EffectSetting:
		d.Kind = KindSetting
	default:
		d.Kind, d.Problem = KindMarks, fmt.Sprintf("group %d of slices: %s", e.Seq, problem)
	}
	return d
}

// problem says how a row that both have differs.
func problem(want, got *row) string {
	w, g := &want.effect, &got.effect
	switch w.Kind {
	case meta.EffectInode:
		return "source and mirror differ in " + strings.Join(attributes(&w.Attr, &g.Attr), ", ")
	case meta.EffectEntry:
		return fmt.Sprintf("it names inode %d of type %o, and at the mirror inode %d of type %o", w.Ino, w.Type, g.Ino, g.Type)
	case meta.EffectNames, meta.EffectRefs:
		return fmt.Sprintf("%d, and at the mirror %d", w.Count, g.Count)
	case meta.EffectTarget:
		return fmt.Sprintf("%q, and at the mirror %q", w.Value, g.Value)
	case meta.EffectQuota:
		return fmt.Sprintf("%+v, and at the mirror %+v", w.Quota, g.Quota)
	case meta.EffectOrphan:
		return fmt.Sprintf("%q of directory %d since %d ms, and at the mirror %q of %d since %d", w.Name, w.Parent, w.Time, g.Name, g.Parent, g.Time)
	default:
		if len(w.Value) != len(g.Value) {
			return fmt.Sprintf("it has %d bytes, and at the mirror %d", len(w.Value), len(g.Value))
		}
		return fmt.Sprintf("at the mirror it differs from byte %d on", firstDifference(w.Value, g.Value))
	}
}

func firstDifference(a, b []byte) int {
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return i
}

// attributes names the attributes in which two inodes differ, with both values.
func attributes(w, g *meta.Attr) []string {
	var all []string
	add := func(name string, format string, a, b any) {
		if a != b {
			all = append(all, fmt.Sprintf("%s ("+format+", "+format+")", name, a, b))
		}
	}
	add("mode", "%o", w.Mode, g.Mode)
	add("links", "%d", w.Nlink, g.Nlink)
	add("owner", "%d", w.UID, g.UID)
	add("group", "%d", w.GID, g.GID)
	add("device", "%d", w.Rdev, g.Rdev)
	add("size", "%d", w.Size, g.Size)
	add("atime", "%d", w.Atime, g.Atime)
	add("mtime", "%d", w.Mtime, g.Mtime)
	add("ctime", "%d", w.Ctime, g.Ctime)
	add("parent", "%d", w.Parent, g.Parent)
	add("version", "%d", w.Version, g.Version)
	add("extended attributes", "%v", w.HasXattrs, g.HasXattrs)
	add("extent lists", "%v", w.HasChunks, g.HasChunks)
	add("names in several directories", "%v", w.Spread, g.Spread)
	extent := func(a *meta.Attr) string {
		if a.Inline == nil {
			return "none"
		}
		return fmt.Sprintf("slice %d of home %d, %d bytes of %d from %d", a.Inline.Slice, a.Inline.Home, a.Inline.Len, a.Inline.Size, a.Inline.Off)
	}
	add("extent", "%s", extent(w), extent(g))
	return all
}

// Counters tells whether the numbers of a volume differ.
func Counters(want, got meta.Counters) (Difference, bool) {
	return Difference{
		Kind:    KindCounters,
		Problem: fmt.Sprintf("the source has %+v, and the mirror %+v", want, got),
	}, want != got
}
