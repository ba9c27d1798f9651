package replicate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"mirrorfs/meta"
)

// subtree is what lies below a directory. It goes by where things are now, which is
// never before the record that is looked at: what has left the directory since need
// not be copied, and what came into it since is copied by the record that brought it.
type subtree struct {
	site Site
	path string

	root   meta.Ino          // 0: the path leads nowhere
	inside map[meta.Ino]bool // directories that were looked up; forgotten when one moves
}

func newSubtree(site Site, path string) *subtree {
	return &subtree{site: site, path: strings.Trim(path, "/"), inside: map[meta.Ino]bool{}}
}

// maxInside bounds what is remembered of directories.
const maxInside = 100_000

// resolve finds the directory that the path names now.
func (s *subtree) resolve(ctx context.Context) (meta.Ino, error) {
	nodes, err := s.site.Resolve(ctx, meta.RootIno, s.path)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		return 0, nil
	}
	if err != nil || len(nodes) == 0 {
		return 0, err
	}
	return nodes[len(nodes)-1].Ino, nil
}

func (s *subtree) all(ctx context.Context, give func([]meta.Slice) error) (err error) {
	clear(s.inside)
	if s.root, err = s.resolve(ctx); err != nil || s.root == 0 {
		return err
	}
	return s.walk(ctx, s.root, give)
}

// added looks at the files that a record wrote to, and at what it gave a name: a directory
// that moves in brings everything below it.
func (s *subtree) added(ctx context.Context, e *meta.LogEntry) ([]meta.Slice, error) {
	rec, err := meta.DecodeRecord(e.Raw)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", e.Position, err)
	}
	if moves(&rec) {
		clear(s.inside)
		root, err := s.resolve(ctx)
		if err != nil {
			return nil, err
		}
		if root != s.root {
			return nil, errMoved
		}
	}
	if s.root == 0 {
		return nil, nil
	}
	var found sliceSet
	for i := range rec.Effects {
		if err := s.effect(ctx, &rec, &rec.Effects[i], &found); err != nil {
			return nil, err
		}
	}
	return found.list, nil
}

// moves tells a record that gave a directory a name.
func moves(rec *meta.Record) bool {
	for i := range rec.Effects {
		e := &rec.Effects[i]
		if e.Kind == meta.EffectEntryGone || e.Kind == meta.EffectEntry && e.Type == meta.TypeDir {
			return true
		}
	}
	return false
}

func (s *subtree) effect(ctx context.Context, rec *meta.Record, e *meta.Effect, found *sliceSet) error {
	switch {
	case e.Kind == meta.EffectInode && e.Attr.Inline == nil:
	case e.Kind == meta.EffectInode || e.Kind == meta.EffectChunk:
		in, err := s.holds(ctx, e.Ino)
		if err != nil || !in {
			return err
		}
		return found.of(e)
	case e.Kind == meta.EffectEntry && e.Type == meta.TypeFile && rec.Op != meta.OpCreate:
		in, err := s.isInside(ctx, e.Parent)
		if err != nil || !in {
			return err
		}
		return s.file(ctx, e.Ino, found)
	case e.Kind == meta.EffectEntry && e.Type == meta.TypeDir && rec.Op != meta.OpMkdir:
		in, err := s.isInside(ctx, e.Ino)
		if err != nil || !in {
			return err
		}
		return s.walk(ctx, e.Ino, func(slices []meta.Slice) error {
			for _, slice := range slices {
				found.add(slice)
			}
			return nil
		})
	}
	return nil
}

// holds tells whether a file is in the subtree. One with names in several directories
// counts as such: to copy more than was asked for breaks no promise.
func (s *subtree) holds(ctx context.Context, ino meta.Ino) (bool, error) {
	node, err := s.site.GetAttr(ctx, ino)
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	if err != nil || node.Attr.IsDir() || node.Attr.Spread {
		return node.Attr.Spread, err
	}
	return s.isInside(ctx, node.Attr.Parent)
}

// isInside tells whether a directory is the subtree's root or below it.
func (s *subtree) isInside(ctx context.Context, dir meta.Ino) (bool, error) {
	var way []meta.Ino
	in := false
	for {
		if known, ok := s.inside[dir]; ok {
			in = known
			break
		}
		way = append(way, dir)
		if in = dir == s.root; in || dir == meta.RootIno || len(way) > 4096 {
			break
		}
		node, err := s.site.GetAttr(ctx, dir)
		if errors.Is(err, syscall.ENOENT) {
			break // gone since
		}
		if err != nil {
			return false, err
		}
		dir = node.Attr.Parent
	}
	if len(s.inside) > maxInside {
		clear(s.inside)
	}
	for _, d := range way {
		s.inside[d] = in
	}
	return in, nil
}

// walk gives the slices of all files below a directory.
func (s *subtree) walk(ctx context.Context, dir meta.Ino, give func([]meta.Slice) error) error {
	for dirs := []meta.Ino{dir}; len(dirs) > 0; {
		dir, dirs = dirs[len(dirs)-1], dirs[:len(dirs)-1]
		for after := ""; ; {
			page, err := s.site.ReadDir(ctx, dir, after, meta.MaxPageEntries)
			if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
				break // gone since
			}
			if err != nil {
				return err
			}
			var found sliceSet
			for i := range page.Entries {
				node := &page.Entries[i].Node
				if node.Attr.IsDir() {
					dirs = append(dirs, node.Ino)
				} else if err := s.content(ctx, node, &found); err != nil {
					return err
				}
				after = page.Entries[i].Name
			}
			if err := give(found.list); err != nil {
				return err
			}
			if !page.More {
				break
			}
		}
	}
	return nil
}

func (s *subtree) file(ctx context.Context, ino meta.Ino, found *sliceSet) error {
	node, err := s.site.GetAttr(ctx, ino)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.content(ctx, &node, found)
}

// content adds the slices of a file.
func (s *subtree) content(ctx context.Context, node *meta.Node, found *sliceSet) error {
	if node.Attr.Inline != nil {
		found.extents([]meta.Extent{*node.Attr.Inline})
		return nil
	}
	if !node.Attr.IsFile() || !node.Attr.HasChunks {
		return nil
	}
	chunks := (node.Attr.Size + meta.ChunkBytes - 1) / meta.ChunkBytes
	for first := uint64(0); first < chunks; first += meta.MaxExtentChunks {
		_, lists, err := s.site.Extents(ctx, node.Ino, uint32(first), meta.MaxExtentChunks)
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range lists {
			found.extents(lists[i].Extents)
		}
	}
	return nil
}
