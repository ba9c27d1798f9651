package compare

import (
	"cmp"
	"slices"

	"mirrorfs/meta"
)

// Changes gives what makes the rows that are those that should be: rows to set, and effects that
// delete. want may be nil for none. An inode that is a directory on one side only is deleted and set.
func Changes(want, got *Rows) (set, gone []meta.Effect) {
	if want == nil {
		want = &Rows{}
	}
	for key, w := range want.by {
		g, ok := got.by[key]
		if ok && w.equal(&g) {
			continue
		}
		if ok && w.effect.Kind == meta.EffectInode && w.effect.Attr.IsDir() != g.effect.Attr.IsDir() {
			gone = append(gone, meta.Gone(g.effect))
		}
		set = append(set, w.effect)
	}
	for key, g := range got.by {
		if _, ok := want.by[key]; !ok {
			gone = append(gone, meta.Gone(g.effect))
		}
	}
	return set, gone
}

// Encode gives effects in an order in which they can be made: entries are taken out and put in while the
// inode of their directory is there.
func Encode(gone, set []meta.Effect) []byte {
	turn := func(e *meta.Effect) int {
		switch e.Kind {
		case meta.EffectEntryGone, meta.EffectInode:
			return 0
		case meta.EffectInodeGone:
			return 2
		default:
			return 1
		}
	}
	order := func(a, b meta.Effect) int {
		return cmp.Or(turn(&a)-turn(&b), cmp.Compare(meta.PlaceOf(&a), meta.PlaceOf(&b)), cmp.Compare(meta.RowKey(&a), meta.RowKey(&b)))
	}
	slices.SortFunc(gone, order)
	slices.SortFunc(set, order)
	var b []byte
	for i := range gone {
		b = meta.AppendEffect(b, &gone[i])
	}
	for i := range set {
		b = meta.AppendEffect(b, &set[i])
	}
	return b
}
