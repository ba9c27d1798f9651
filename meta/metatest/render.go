package metatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mirrorfs/meta"
)

// Replies are compared as text, which is also what a failure shows. Text leaves
// out what engines may do in their own way: versions, and how extents are listed.

func renderError(err error) string {
	var e *meta.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("error without an errno: %v", err)
	}
	text := "error " + e.Errno.Error()
	for _, reason := range []error{meta.ErrBehind, meta.ErrReadOnly, meta.ErrFenced, meta.ErrSessionEnded, meta.ErrNoVolume} {
		if errors.Is(err, reason) {
			text += " because " + reason.Error()
		}
	}
	return text
}

func renderAttr(a *meta.Attr) string {
	return fmt.Sprintf("mode %o nlink %d owner %d:%d rdev %x size %d parent %d spread %v xattrs %v times %d %d %d",
		a.Mode, a.Nlink, a.UID, a.GID, a.Rdev, a.Size, a.Parent, a.Spread, a.HasXattrs, a.Atime, a.Mtime, a.Ctime)
}

func renderNode(n *meta.Node) string {
	return fmt.Sprintf("inode %d %s", n.Ino, renderAttr(&n.Attr))
}

func renderPage(p *meta.Page) string {
	var s strings.Builder
	for i := range p.Entries {
		fmt.Fprintf(&s, "%q %s\n", p.Entries[i].Name, renderNode(&p.Entries[i].Node))
	}
	fmt.Fprintf(&s, "more %v", p.More)
	return s.String()
}

// renderEffects gives the effects on rows that look the same in every engine,
// sorted: not those of extent lists and slices.
func renderEffects(effects []meta.Effect) string {
	var lines []string
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case meta.EffectChunk, meta.EffectChunkGone, meta.EffectRefs, meta.EffectFreed, meta.EffectSliceWritten, meta.EffectFreedGone:
			continue
		case meta.EffectInode:
			lines = append(lines, fmt.Sprintf("I %d %s", e.Ino, renderAttr(&e.Attr)))
		default:
			lines = append(lines, fmt.Sprintf("%c ino %d parent %d name %q type %o value %.80q time %d session %x count %d quota %+v", e.Kind, e.Ino, e.Parent, e.Name, e.Type, e.Value, e.Time, e.Session, e.Count, e.Quota))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// piece is a range of a file's bytes: where it stands and where it comes from.
type piece struct {
	pos   uint64 // in the file
	len   uint64
	slice uint64
	home  uint8
	size  uint32 // of the slice
	off   uint64 // in the slice
}

// resolve lays extents over each other and gives the pieces, in order and
// joined where they continue each other, without holes.
func resolve(chunks []meta.ChunkExtents) []piece {
	var all []piece
	for _, c := range chunks {
		var list []piece
		end := uint64(0) // of the last byte so far
		for _, e := range c.Extents {
			p := piece{pos: uint64(c.Index)*meta.ChunkBytes + uint64(e.Pos), len: uint64(e.Len), slice: e.Slice, home: e.Home, size: e.Size, off: uint64(e.Off)}
			if p.pos < end {
				list = without(list, p.pos, p.pos+p.len)
			}
			list, end = append(list, p), max(end, p.pos+p.len)
		}
		slices.SortFunc(list, func(a, b piece) int { return int(int64(a.pos) - int64(b.pos)) })
		for _, p := range list {
			last := len(all) - 1
			switch {
			case p.slice == 0:
			case last >= 0 && all[last].continues(&p):
				all[last].len += p.len
			default:
				all = append(all, p)
			}
		}
	}
	return all
}

func (p *piece) continues(q *piece) bool {
	return p.pos+p.len == q.pos && p.slice == q.slice && p.off+p.len == q.off
}

// without gives the pieces without the bytes of a range.
func without(list []piece, from, to uint64) []piece {
	var left []piece
	for _, p := range list {
		end := p.pos + p.len
		if p.pos < from {
			before := p
			before.len = min(end, from) - p.pos
			left = append(left, before)
		}
		if end > to {
			after := p
			after.pos = max(p.pos, to)
			after.len = end - after.pos
			after.off += after.pos - p.pos
			left = append(left, after)
		}
	}
	return left
}

// windows are the chunks that tests write to: the first ones and the last ones.
func windows() []uint32 {
	return []uint32{0, meta.MaxFileBytes/meta.ChunkBytes - meta.MaxExtentChunks}
}

// renderContent gives where a file's bytes are, cut off at its size, and complains
// about attributes that say otherwise.
func renderContent(ctx context.Context, r meta.Reader, ino meta.Ino) string {
	var chunks []meta.ChunkExtents
	var node meta.Node
	for _, first := range windows() {
		n, lists, err := r.Extents(ctx, ino, first, meta.MaxExtentChunks)
		if err != nil {
			return renderError(err)
		}
		node, chunks = n, append(chunks, lists...)
	}
	a := &node.Attr
	pieces := without(resolve(chunks), a.Size, 1<<63)
	var s strings.Builder
	fmt.Fprintf(&s, "content of inode %d, %d bytes:", ino, a.Size)
	for _, p := range pieces {
		fmt.Fprintf(&s, " %d+%d=%d@%d(%d,%d)", p.pos, p.len, p.slice, p.off, p.home, p.size)
	}
	if e := a.Inline; e != nil {
		inline := []piece{{len: uint64(e.Len), slice: e.Slice, home: e.Home, size: e.Size, off: uint64(e.Off)}}
		if !slices.Equal(inline, pieces) || uint64(e.Len) != a.Size {
			fmt.Fprintf(&s, " BUT inline extent %+v", *e)
		}
	}
	if a.Inline == nil && !a.HasChunks && len(pieces) > 0 {
		s.WriteString(" BUT the attributes say that there is nothing")
	}
	return s.String()
}
