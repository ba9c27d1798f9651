package metatest

import (
	"context"
	"fmt"
	"strings"

	"mirrorfs/meta"
)

// treePage is a small page, so that walking a tree continues pages.
const treePage = 50

// renderTree walks all that a volume holds, orphans included, and writes it down.
func renderTree(ctx context.Context, e meta.Engine) string {
	w := walker{r: e}
	root, err := e.GetAttr(ctx, meta.RootIno)
	if err != nil {
		return renderError(err)
	}
	w.node(ctx, "", &root)
	if p, ok := e.(meta.Purger); ok {
		w.orphans(ctx, p)
	}
	quotas, err := e.Quotas(ctx)
	fmt.Fprintf(&w.out, "quotas %+v %v\n", quotas, err)
	usage, err := e.StatFS(ctx)
	fmt.Fprintf(&w.out, "usage %+v %v\n", usage, err)
	return w.out.String()
}

type walker struct {
	r   meta.Reader
	out strings.Builder
}

// node writes an inode and all that is below it.
func (w *walker) node(ctx context.Context, path string, n *meta.Node) {
	fmt.Fprintf(&w.out, "%q %s\n", path, renderNode(n))
	w.xattrs(ctx, n)
	switch n.Attr.Type() {
	case meta.TypeFile:
		w.out.WriteString(renderContent(ctx, w.r, n.Ino) + "\n")
	case meta.TypeSymlink:
		target, err := w.r.ReadLink(ctx, n.Ino)
		fmt.Fprintf(&w.out, "target %q %v\n", target, err)
	case meta.TypeDir:
		if n.Attr.Nlink > 0 {
			w.dir(ctx, path, n.Ino)
		}
	}
}

func (w *walker) xattrs(ctx context.Context, n *meta.Node) {
	names, err := w.r.ListXattr(ctx, n.Ino)
	if err != nil {
		w.out.WriteString(renderError(err) + "\n")
	}
	if len(names) > 0 && !n.Attr.HasXattrs {
		w.out.WriteString("BUT the attributes deny extended attributes\n")
	}
	for _, name := range names {
		value, err := w.r.GetXattr(ctx, n.Ino, name)
		fmt.Fprintf(&w.out, "xattr %q = %q %v\n", name, value, err)
	}
}

func (w *walker) dir(ctx context.Context, path string, dir meta.Ino) {
	after := ""
	for {
		page, err := w.r.ReadDir(ctx, dir, after, treePage)
		if err != nil {
			fmt.Fprintf(&w.out, "%q after %q: %s\n", path, after, renderError(err))
			return
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			if e.Name <= after {
				fmt.Fprintf(&w.out, "%q: %q comes after %q\n", path, e.Name, after)
			}
			after = e.Name
			w.node(ctx, path+"/"+e.Name, &e.Node)
		}
		if !page.More || len(page.Entries) == 0 {
			return
		}
	}
}

func (w *walker) orphans(ctx context.Context, p meta.Purger) {
	orphans, err := allOrphans(ctx, p)
	if err != nil {
		w.out.WriteString(renderError(err) + "\n")
	}
	for i, o := range orphans {
		fmt.Fprintf(&w.out, "orphan %+v\n", o)
		if i%10 == 0 {
			same, err := p.Orphan(ctx, o.Ino)
			fmt.Fprintf(&w.out, "by number %v %v\n", same == o, err)
		}
		n, err := w.r.GetAttr(ctx, o.Ino)
		if err != nil {
			w.out.WriteString(renderError(err) + "\n")
			continue
		}
		w.node(ctx, "orphan", &n)
	}
}

// firstDifference shortens two long texts to the first lines that differ.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return difference(strings.Join(a[i:min(i+3, len(a))], "\n"), strings.Join(b[min(i, len(b)):min(i+3, len(b))], "\n"))
		}
	}
	if len(b) > len(a) {
		return difference("(end)", strings.Join(b[len(a):], "\n"))
	}
	return ""
}
