package mirror

import (
	"context"
	"slices"
	"strings"

	"mirrorfs/meta"
)

const (
	// maxPathNames bounds how deep a path is told, and maxPathPages how many pages of a
	// directory are searched for a name.
	maxPathNames = 1000
	maxPathPages = 64
)

// paths finds paths of inodes for people: at the mirror, else at the source if that answers
// questions.
type paths struct {
	readers []meta.Reader
	known   map[meta.Ino]string
}

func newPaths(sites ...any) *paths {
	p := &paths{known: map[meta.Ino]string{meta.RootIno: "/"}}
	for _, s := range sites {
		if r, ok := s.(meta.Reader); ok {
			p.readers = append(p.readers, r)
		}
	}
	return p
}

// of gives a path of an inode, empty when none is found.
func (p *paths) of(ctx context.Context, ino meta.Ino) string {
	for _, r := range p.readers {
		if path := p.climb(ctx, r, ino); path != "" {
			return path
		}
	}
	return ""
}

func (p *paths) climb(ctx context.Context, r meta.Reader, ino meta.Ino) string {
	var names []string
	for at := ino; p.known[at] == ""; {
		n, err := r.GetAttr(ctx, at)
		if err != nil || n.Attr.Nlink == 0 || len(names) == maxPathNames {
			return ""
		}
		name := nameIn(ctx, r, n.Attr.Parent, at)
		if name == "" {
			return ""
		}
		names = append(names, name)
		if at = n.Attr.Parent; p.known[at] != "" {
			slices.Reverse(names)
			p.known[ino] = strings.TrimSuffix(p.known[at], "/") + "/" + strings.Join(names, "/")
		}
	}
	return p.known[ino]
}

// nameIn looks for an inode among the entries of a directory.
func nameIn(ctx context.Context, r meta.Reader, dir, ino meta.Ino) string {
	after := ""
	for range maxPathPages {
		page, err := r.ReadDir(ctx, dir, after, meta.MaxPageEntries)
		if err != nil {
			return ""
		}
		for i := range page.Entries {
			if page.Entries[i].Node.Ino == ino {
				return page.Entries[i].Name
			}
		}
		if !page.More || len(page.Entries) == 0 {
			return ""
		}
		after = page.Entries[len(page.Entries)-1].Name
	}
	return ""
}
