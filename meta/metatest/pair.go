package metatest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/model"
)

// pair is the model and the engine under test, kept in step.
type pair struct {
	model  *model.Engine
	engine meta.Engine
	volume Volume
	clock  *clock
	// base is the seq of both when they began: what they did since must be equal.
	baseModel, baseEngine uint64

	inodes map[meta.Ino]meta.Ino // handles to inode numbers, equal in both
	// contents holds what a file held at a version and size of the engine.
	contents map[contentKey]string
	// last and lastErr are the engine's answer to the last change.
	last    meta.Result
	lastErr error
}

type contentKey struct {
	ino           meta.Ino
	version, size uint64
}

// newPair opens the engine with open, or a plain one.
func newPair(t testing.TB, cfg Config, open func(t testing.TB, v Volume) meta.Engine) *pair {
	t.Helper()
	p := &pair{clock: newClock(), inodes: map[meta.Ino]meta.Ino{meta.RootIno: meta.RootIno}, contents: map[contentKey]string{}}
	p.model = model.New(meta.Volume{Name: "test"}, p.clock.now)
	p.volume = cfg.New(t, p.clock.now)
	if open == nil {
		open = openPlain
	}
	p.engine = open(t, p.volume)
	start(t, p.model)
	start(t, p.engine)
	p.baseModel, p.baseEngine = seq(t, p.model), seq(t, p.engine)
	// Formatting happened at the engine's own time.
	now := meta.SetAttr{Ino: meta.RootIno, Set: meta.SetMode | meta.SetAtimeNow | meta.SetMtimeNow, Mode: 0o755}
	if diff := p.change(t.Context(), now); diff != "" {
		t.Fatal(diff)
	}
	return p
}

func start(t testing.TB, e meta.Engine) {
	t.Helper()
	if err := e.StartSession(t.Context(), sessionInfo()); err != nil {
		t.Fatalf("starting a session: %v", err)
	}
}

func sessionInfo() meta.SessionInfo {
	return meta.SessionInfo{Host: "suite", PID: 1, Kind: "cli", Version: "test", Started: time.Unix(1_700_000_000, 0).UTC()}
}

func seq(t testing.TB, e meta.Engine) uint64 {
	t.Helper()
	s, err := e.State(t.Context())
	if err != nil {
		t.Fatalf("state: %v", err)
	}
	return s.Position.Seq
}

// inode gives the number that a handle stands for, or one that does not exist.
func (p *pair) inode(handle meta.Ino) meta.Ino {
	if ino, ok := p.inodes[handle]; ok {
		return ino
	}
	return 1<<40 + handle
}

// do runs a step on both and says how they differ; empty when they do not.
func (p *pair) do(ctx context.Context, s *step) string {
	p.clock.advance(s.pause)
	switch {
	case s.change != nil:
		c := translate(s.change, p.inode)
		if c1, ok := c.(meta.Compact); ok {
			return p.compact(ctx, c1)
		}
		before := p.nextIno(ctx)
		diff := p.made(ctx, c)
		if after := p.nextIno(ctx); after > before {
			p.inodes[firstHandle+meta.Ino(s.id)] = before
		}
		return diff
	case s.ask != nil:
		ino := p.inode(s.ask.ino)
		return difference(s.ask.answer(ctx, p.model, ino), s.ask.answer(ctx, p.engine, ino))
	case s.beat != nil:
		var open []meta.Ino
		for _, handle := range s.beat {
			open = append(open, p.inode(handle))
		}
		return difference(fmt.Sprint(p.model.Heartbeat(ctx, open)), fmt.Sprint(p.engine.Heartbeat(ctx, open)))
	default:
		return p.renew(ctx)
	}
}

func (p *pair) nextIno(ctx context.Context) meta.Ino {
	s, err := p.model.State(ctx)
	if err != nil {
		return 0
	}
	return s.NextIno
}

func (p *pair) renew(ctx context.Context) string {
	for _, e := range []meta.Engine{p.model, p.engine} {
		if err := e.EndSession(ctx); err != nil {
			return fmt.Sprintf("%T: ending the session: %v", e, err)
		}
		if _, err := e.Change(ctx, meta.Reserve{Count: 1}); meta.Errno(err) != errEnded {
			return fmt.Sprintf("%T: a change after the session: %v", e, err)
		}
		if err := e.StartSession(ctx, sessionInfo()); err != nil {
			return fmt.Sprintf("%T: starting a session: %v", e, err)
		}
	}
	return ""
}

// change makes a change in both and compares the replies, the effects, and what
// became of the bytes.
func (p *pair) change(ctx context.Context, c meta.Change) string { return p.changes(ctx, c, c) }

// changes makes a change in the model and the like of it in the engine.
func (p *pair) changes(ctx context.Context, inModel, c meta.Change) string {
	want, wantErr := p.model.Change(ctx, inModel)
	got, gotErr := p.engine.Change(ctx, c)
	p.last, p.lastErr = got, gotErr
	if diff := difference(renderResult(&want, wantErr, p.baseModel), renderResult(&got, gotErr, p.baseEngine)); diff != "" {
		return diff
	}
	if gotErr != nil {
		return ""
	}
	if !want.Partial && !got.Partial && !got.Position.IsZero() {
		if diff := difference(renderEffects(want.Effects), renderEffects(got.Effects)); diff != "" {
			return "effects: " + diff
		}
	}
	switch c := c.(type) {
	case meta.Commit:
		return p.compareContent(ctx, c.Ino, &got)
	case meta.Clone:
		return p.compareContent(ctx, c.Dst, &got)
	case meta.Compact:
		// Other slices may hold the same bytes: that is what it is for.
		delete(p.contents, contentKey{ino: c.Ino, version: got.Node.Attr.Version, size: got.Node.Attr.Size})
		return p.compareContent(ctx, c.Ino, &got)
	case meta.SetAttr:
		if got.Node.Attr.IsFile() {
			return p.compareContent(ctx, c.Ino, &got)
		}
	case meta.Restore:
		if got.Node.Attr.IsFile() {
			return p.compareContent(ctx, c.Orphan.Ino, &got)
		}
	}
	return ""
}

// compareContent compares where a file's bytes are, and looks whether its version
// tells when they changed.
func (p *pair) compareContent(ctx context.Context, ino meta.Ino, r *meta.Result) string {
	content := renderContent(ctx, p.engine, ino)
	if diff := difference(renderContent(ctx, p.model, ino), content); diff != "" {
		return diff
	}
	n, err := p.engine.GetAttr(ctx, ino)
	if err != nil {
		return renderError(err)
	}
	if r != nil && r.Node.Attr.Version != n.Attr.Version {
		return fmt.Sprintf("the reply says version %d, the inode %d", r.Node.Attr.Version, n.Attr.Version)
	}
	key := contentKey{ino: ino, version: n.Attr.Version, size: n.Attr.Size}
	if was, ok := p.contents[key]; ok && was != content {
		return fmt.Sprintf("version %d and size %d stood for\n%s\nand now for\n%s", key.version, key.size, was, content)
	}
	p.contents[key] = content
	return ""
}

func renderResult(r *meta.Result, err error, base uint64) string {
	if err != nil {
		return renderError(err)
	}
	text := "no change"
	if !r.Position.IsZero() {
		text = fmt.Sprintf("position %d-+%d", r.Position.Epoch, r.Position.Seq-base)
	}
	return fmt.Sprintf("%s, first slice %d, %s", text, r.FirstSlice, renderNode(&r.Node))
}

func difference(want, got string) string {
	if want == got {
		return ""
	}
	return fmt.Sprintf("the model says\n%s\nand the engine\n%s", want, got)
}
