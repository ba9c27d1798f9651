package metatest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mirrorfs/meta"
)

// step is one operation of a random list: a change, a question, or something
// about the session. Inode numbers in it are handles: 1 is the root, and the
// inode that step n made has the handle firstHandle+n. So a step means the same
// after others were taken out of the list.
type step struct {
	id     int
	pause  time.Duration // the clock moves on by this first
	change meta.Change
	ask    *question
	beat   []meta.Ino // a heartbeat with these inodes open, if not nil
	renew  bool       // end the session and start another
}

const (
	firstHandle = 1000
	// noHandle never names an inode.
	noHandle meta.Ino = 999
)

// question is something to ask a meta.Reader.
type question struct {
	what string // name of the method
	ino  meta.Ino
	name string // or path
	n    int    // limit or count
}

// String writes a step as Go would, on one line.
func (s step) String() string {
	switch {
	case s.change != nil:
		return fmt.Sprintf("#%d makes %d: %#v", s.id, firstHandle+s.id, s.change)
	case s.ask != nil:
		return fmt.Sprintf("#%d %s inode %d %q n %d", s.id, s.ask.what, s.ask.ino, s.ask.name, s.ask.n)
	case s.beat != nil:
		return fmt.Sprintf("#%d heartbeat with %v open", s.id, s.beat)
	default:
		return fmt.Sprintf("#%d new session", s.id)
	}
}

// answer asks and gives the reply as text.
func (q *question) answer(ctx context.Context, r meta.Reader, ino meta.Ino) string {
	var text string
	var err error
	switch q.what {
	case "lookup":
		var n meta.Node
		n, err = r.Lookup(ctx, ino, q.name)
		text = renderNode(&n)
	case "getattr":
		var n meta.Node
		n, err = r.GetAttr(ctx, ino)
		text = renderNode(&n)
	case "resolve":
		var nodes []meta.Node
		nodes, err = r.Resolve(ctx, ino, q.name)
		var s strings.Builder
		for i := range nodes {
			s.WriteString(renderNode(&nodes[i]) + "\n")
		}
		if text = s.String(); err != nil {
			return text + renderError(err)
		}
	case "readdir":
		var p meta.Page
		p, err = r.ReadDir(ctx, ino, q.name, q.n)
		text = renderPage(&p)
	case "readlink":
		text, err = r.ReadLink(ctx, ino)
	case "extents":
		text = renderContent(ctx, r, ino)
	case "getxattr":
		var v []byte
		v, err = r.GetXattr(ctx, ino, q.name)
		text = fmt.Sprintf("%q", v)
	case "listxattr":
		var names []string
		names, err = r.ListXattr(ctx, ino)
		text = fmt.Sprintf("%q", names)
	case "quotas":
		var all []meta.Quota
		all, err = r.Quotas(ctx)
		text = fmt.Sprintf("%+v", all)
	case "quotasat":
		var all []meta.Quota
		all, err = r.QuotasAt(ctx, ino)
		text = fmt.Sprintf("%+v", all)
	case "statfs":
		var u meta.Usage
		u, err = r.StatFS(ctx)
		text = fmt.Sprintf("%+v", u)
	}
	if err != nil {
		return renderError(err)
	}
	return text
}

// translate gives a change with handles replaced by inode numbers.
func translate(c meta.Change, real func(meta.Ino) meta.Ino) meta.Change {
	switch c := c.(type) {
	case meta.Make:
		c.Parent = real(c.Parent)
		return c
	case meta.Link:
		c.Ino, c.Parent = real(c.Ino), real(c.Parent)
		return c
	case meta.Unlink:
		c.Parent = real(c.Parent)
		return c
	case meta.Rmdir:
		c.Parent = real(c.Parent)
		return c
	case meta.Rename:
		c.OldParent, c.NewParent = real(c.OldParent), real(c.NewParent)
		return c
	case meta.SetAttr:
		c.Ino = real(c.Ino)
		return c
	case meta.Commit:
		c.Ino = real(c.Ino)
		return c
	case meta.Clone:
		c.Src, c.Dst = real(c.Src), real(c.Dst)
		return c
	case meta.Compact:
		c.Ino = real(c.Ino)
		return c
	case meta.SetXattr:
		c.Ino = real(c.Ino)
		return c
	case meta.RemoveXattr:
		c.Ino = real(c.Ino)
		return c
	case meta.SetQuota:
		c.Dir = real(c.Dir)
		return c
	case meta.Count:
		c.Dir = real(c.Dir)
		return c
	case meta.Purge:
		c.Orphan.Ino = real(c.Orphan.Ino)
		return c
	case meta.Restore:
		c.Orphan.Ino, c.Parent = real(c.Orphan.Ino), real(c.Parent)
		return c
	}
	return c
}
