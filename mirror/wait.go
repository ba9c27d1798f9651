package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// ErrNotThere says that a mirror had not reached a position in time.
var ErrNotThere = errors.New("the mirror is not there yet")

const (
	waitMin = 2 * time.Millisecond
	waitMax = 50 * time.Millisecond
)

// ErrLost says that a position is of a change that was lost with its source.
var ErrLost = errors.New("lost in a promotion: no site will ever show it")

// awaited is what waiting asks a site.
type awaited interface {
	State(ctx context.Context) (meta.State, error)
	Local(ctx context.Context) (map[string]string, error)
}

// Wait returns when everything that the source had acknowledged before the call
// is readable at a mirror: it asks the source once and then watches the mirror. It
// returns that position. When ctx ends before, the error wraps ErrNotThere and
// says how far the mirror is. It works while the first copy is under way. A site that was promoted has nobody
// to wait for, and what it knows of a source is old.
func Wait(ctx context.Context, source meta.Source, site meta.Replica) (meta.Position, error) {
	if err := mustBeMirror(ctx, site); err != nil {
		return meta.Position{}, err
	}
	head, err := source.State(ctx)
	if err != nil {
		return meta.Position{}, fmt.Errorf("source: %w", err)
	}
	return head.Position, await(ctx, site, head.Position, nil)
}

// WaitFor is Wait for a position, which somebody at another site has told. It does not ask
// the source. ErrLost when no site has the position any more.
func WaitFor(ctx context.Context, site Site, at meta.Position) error {
	if err := await(ctx, site, at, nil); err != nil {
		return err
	}
	v, err := site.Volume(ctx)
	if err == nil && meta.Lost(v.Promotions, at) {
		return fmt.Errorf("position %s was %w", at, ErrLost)
	}
	return err
}

// WaitPath is Wait for one path of the volume, which begins with a slash and is resolved
// without following symbolic links: it returns when the mirror shows there what the source
// did when it was asked, or something later, although it may lack what was done elsewhere. Of a
// directory everything counts, for that may be below it.
func WaitPath(ctx context.Context, source, site Site, path string) (meta.Position, error) {
	if err := mustBeMirror(ctx, site); err != nil {
		return meta.Position{}, err
	}
	want, err := lookAt(ctx, source, path)
	if err != nil {
		return meta.Position{}, fmt.Errorf("source: %w", err)
	}
	shown := func() bool {
		got, err := lookAt(ctx, site, path)
		return err == nil && !want.isDir() && want.equal(&got)
	}
	return want.at, await(ctx, site, want.at, shown)
}

func mustBeMirror(ctx context.Context, site awaited) error {
	s, err := site.State(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("mirror: %w", err)
	case s.Role == meta.RoleSource:
		return errIsSource
	default:
		return nil
	}
}

// await returns when a site stands at a position or later, or already shows what is
// wanted of it; shown may be nil.
func await(ctx context.Context, site awaited, at meta.Position, shown func() bool) error {
	next := waitMin
	for {
		s, err := site.State(ctx)
		if err == nil && s.Role != meta.RoleBootstrapping && (!s.Position.Before(at) || shown != nil && shown()) {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("mirror: %w", err)
		}
		if err := pause(ctx, next); err != nil {
			return notThere(context.WithoutCancel(ctx), site, at, s.Position)
		}
		next = min(next*3/2, waitMax)
	}
}

// view is what a path leads to.
type view struct {
	at    meta.Position
	nodes []meta.Node
	errno syscall.Errno // of the component after nodes
}

func lookAt(ctx context.Context, site meta.Engine, path string) (view, error) {
	var v view
	var err error
	reader := site.View(meta.ViewOptions{Observe: func(at meta.Position) { v.at = at }})
	if clean := strings.Trim(path, "/"); clean == "" {
		var root meta.Node
		root, err = reader.GetAttr(ctx, meta.RootIno)
		v.nodes = []meta.Node{root}
	} else {
		v.nodes, err = reader.Resolve(ctx, meta.RootIno, clean)
	}
	if errno := meta.Errno(err); errno == syscall.ENOENT || errno == syscall.ENOTDIR {
		v.errno, err = errno, nil
	}
	return v, err
}

// isDir reports whether there is something below the path.
func (v *view) isDir() bool { return v.errno == 0 && v.nodes[len(v.nodes)-1].Attr.IsDir() }

// equal compares what is at the end of a path, and who may go there.
func (v *view) equal(w *view) bool {
	if v.errno != w.errno || len(v.nodes) != len(w.nodes) {
		return false
	}
	for i := range v.nodes {
		a, b := v.nodes[i], w.nodes[i]
		if a.Ino != b.Ino || a.Attr.Mode != b.Attr.Mode || a.Attr.UID != b.Attr.UID || a.Attr.GID != b.Attr.GID {
			return false
		}
		a.Attr.Inline, b.Attr.Inline = nil, nil // Version tells
		if i == len(v.nodes)-1 && v.errno == 0 && a.Attr != b.Attr {
			return false
		}
	}
	return true
}

// notThere says how far a mirror is, and why it is not further.
func notThere(ctx context.Context, site awaited, want, have meta.Position) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	why := ""
	if local, err := site.Local(ctx); err == nil {
		if n, err := noteFrom(local); err == nil {
			switch {
			case n.Seen.IsZero():
				why = ", no runner was seen yet: start it with `mirrorfs mirror run`"
			case n.Reason != "":
				why = ", " + n.State + ": " + n.Reason
			default:
				why = ", " + n.State
			}
		}
	}
	return fmt.Errorf("%w: it has applied %s of %s%s", ErrNotThere, have, want, why)
}
