package fsck

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"mirrorfs/meta"
)

// LostAndFound is the directory in the root for what has lost its name.
const LostAndFound = "lost+found"

// Target is what Repair changes: a source's metadata, with a session.
type Target interface {
	meta.Reader
	Change(ctx context.Context, c meta.Change) (meta.Result, error)
}

// errChanged says that a repair was not made because of a change by others since the check.
var errChanged = errors.New("it has changed since it was checked: check again")

// Repair mends what can be mended, one change for each thing that is wrong, and notes in the
// findings what became of it. It fails only when nothing can be changed at all. What one
// repair brought to light, or came in the way of, the next Check tells.
func (r *Report) Repair(ctx context.Context, to Target) error {
	for _, f := range r.byUrgency() {
		x := f.fix
		if x == nil || f.Repaired {
			continue
		}
		if !x.done {
			x.done = true
			x.failed = r.apply(ctx, to, x)
		}
		switch {
		case x.failed == nil:
			f.Repaired = true
		case errors.Is(x.failed, meta.ErrReadOnly), errors.Is(x.failed, meta.ErrUnreachable), errors.Is(x.failed, context.Canceled):
			return x.failed
		default:
			f.Failed = x.failed.Error()
		}
	}
	return nil
}

// byUrgency puts the next numbers first, so that what a repair makes takes none that is in use,
// and what is lost last.
func (r *Report) byUrgency() []*Finding {
	var first, middle, last []*Finding
	for _, f := range r.Findings {
		switch {
		case f.Kind == KindNext:
			first = append(first, f)
		case f.fix != nil && f.fix.lost != 0:
			last = append(last, f)
		default:
			middle = append(middle, f)
		}
	}
	return append(append(first, middle...), last...)
}

func (r *Report) apply(ctx context.Context, to Target, x *fix) error {
	if x.lost != 0 {
		return r.find(ctx, to, x)
	}
	return change(ctx, to, x.repair)
}

func change(ctx context.Context, to Target, c meta.Repair) error {
	_, err := to.Change(ctx, c)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return errChanged
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("more is wrong here than one change can mend (%d rows)", len(c.Effects))
	}
	return err
}

// find gives an inode a name in /lost+found.
func (r *Report) find(ctx context.Context, to Target, x *fix) error {
	now, err := to.GetAttr(ctx, x.lost)
	if errors.Is(err, syscall.ENOENT) {
		return errChanged
	}
	if err != nil {
		return err
	}
	if was, ok := r.checker.t.attr(x.lost); !ok || was.Ctime != now.Attr.Ctime || was.Nlink != now.Attr.Nlink && !now.Attr.IsDir() {
		return errChanged // who has it open may have given it a name
	}
	found, err := lostAndFound(ctx, to)
	if err != nil {
		return err
	}
	name := lostName(x.lost)
	entry := meta.Effect{Kind: meta.EffectEntry, Parent: found.Ino, Name: name, Type: now.Attr.Type(), Ino: x.lost}
	c := meta.Repair{
		Expect: []meta.Effect{inode(now), inode(found), {Kind: meta.EffectEntryGone, Parent: found.Ino, Name: name}},
	}
	now.Attr.Parent = found.Ino
	found.Attr.Size++
	if now.Attr.IsDir() {
		found.Attr.Nlink++
	} else {
		now.Attr.Nlink, now.Attr.Spread = 1, false
	}
	c.Effects = []meta.Effect{inode(now), inode(found)}
	if x.from != nil {
		from, err := to.GetAttr(ctx, x.from.Parent)
		if err != nil {
			return err
		}
		c.Expect = append(c.Expect, *x.from)
		if from.Ino != x.lost {
			c.Expect = append(c.Expect, inode(from))
			from.Attr.Size--
			from.Attr.Nlink--
			c.Effects = append(c.Effects, inode(from))
		} else { // it lies in itself
			c.Effects[0].Attr.Size--
			c.Effects[0].Attr.Nlink--
		}
		c.Effects = append(c.Effects, meta.Effect{Kind: meta.EffectEntryGone, Parent: x.from.Parent, Name: x.from.Name})
	}
	c.Effects = append(c.Effects, entry)
	for dir := range r.checker.t.names[x.lost] {
		c.Effects = append(c.Effects, meta.Effect{Kind: meta.EffectNames, Ino: x.lost, Parent: dir})
	}
	return change(ctx, to, c)
}

func inode(n meta.Node) meta.Effect {
	return meta.Effect{Kind: meta.EffectInode, Ino: n.Ino, Attr: n.Attr}
}

// lostAndFound finds the directory, and makes it when there is none.
func lostAndFound(ctx context.Context, to Target) (meta.Node, error) {
	n, err := to.Lookup(ctx, meta.RootIno, LostAndFound)
	if errors.Is(err, syscall.ENOENT) {
		var made meta.Result
		if made, err = to.Change(ctx, meta.Make{Parent: meta.RootIno, Name: LostAndFound, Mode: meta.TypeDir | 0o700}); err == nil {
			n = made.Node
		}
	}
	if err == nil && !n.Attr.IsDir() {
		err = fmt.Errorf("/%s is no directory", LostAndFound)
	}
	return n, err
}
