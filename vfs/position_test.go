package vfs_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/vfs"
)

// What one client did is seen by another that waited for the first one's position, also where
// that would otherwise tell what it remembers.
func TestPositionIsHandedOn(t *testing.T) {
	r := newRig(t, vfs.Options{AttrAge: time.Hour})
	ctx := t.Context()
	other := r.model.Client()
	r.ok(other.StartSession(ctx, meta.SessionInfo{Kind: "test"}))
	dir, err := r.fs.Make(ctx, meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	if got, err := r.fs.Position(ctx); err != nil || got.Before(r.fs.LastChange()) || r.fs.LastChange().IsZero() {
		t.Fatalf("position %s, last change %s, %v", got, r.fs.LastChange(), err)
	}
	_, err = r.fs.GetXattr(ctx, dir.Ino, "user.a")
	r.fails(err, syscall.ENODATA)
	_, err = other.Change(ctx, meta.Make{Parent: dir.Ino, Name: "sub", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	res, err := other.Change(ctx, meta.SetXattr{Ino: dir.Ino, Name: "user.a", Value: []byte("v")})
	r.ok(err)
	if n, err := r.fs.GetAttr(ctx, dir.Ino); err != nil || n.Attr.Size != 0 {
		t.Fatalf("the directory is not remembered: %+v, %v", n, err)
	}

	r.ok(r.fs.WaitFor(ctx, res.Position))
	if n, err := r.fs.GetAttr(ctx, dir.Ino); err != nil || n.Attr.Size != 1 {
		t.Errorf("after the wait the directory has %d entries, %v", n.Attr.Size, err)
	}
	if v, err := r.fs.GetXattr(ctx, dir.Ino, "user.a"); err != nil || string(v) != "v" {
		t.Errorf("after the wait the attribute is %q, %v", v, err)
	}
}

func TestWaitForAPositionToCome(t *testing.T) {
	r := newRig(t, vfs.Options{})
	at, err := r.fs.Position(t.Context())
	r.ok(err)
	at.Seq++
	waiting := make(chan error, 1)
	go func() { waiting <- r.fs.WaitFor(t.Context(), at) }()
	_, err = r.fs.Make(t.Context(), meta.Make{Parent: meta.RootIno, Name: "d", Mode: meta.TypeDir | 0o755})
	r.ok(err)
	r.ok(<-waiting)

	at.Seq += 100
	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	r.fails(r.fs.WaitFor(late, at), syscall.ETIMEDOUT)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r.fails(r.fs.WaitFor(gone, at), syscall.EINTR)
}

// promoted is an engine of a volume that has had a promotion.
type promoted struct {
	meta.Engine
	promotions []meta.Promotion
}

func (p *promoted) State(ctx context.Context) (meta.State, error) {
	s, err := p.Engine.State(ctx)
	s.Position.Epoch += uint64(len(p.promotions))
	return s, err
}

func (p *promoted) Volume(ctx context.Context) (meta.Volume, error) {
	v, err := p.Engine.Volume(ctx)
	v.Promotions = p.promotions
	return v, err
}

func TestWaitForALostPosition(t *testing.T) {
	r := newRig(t, vfs.Options{})
	e := &promoted{Engine: r.model.Client(), promotions: []meta.Promotion{{Epoch: 2, After: meta.Position{Epoch: 1, Seq: 3}}}}
	fs, err := vfs.New(vfs.Options{Engine: e, Blocks: r.blocks, ReadOnly: true})
	r.ok(err)
	for seq := range uint64(6) {
		err := fs.WaitFor(t.Context(), meta.Position{Epoch: 1, Seq: seq})
		if want := seq > 3; want != (meta.Errno(err) == syscall.ESTALE) || err != nil && !want {
			t.Errorf("waiting for %s: %v", fmt.Sprint("1-", seq), err)
		}
	}
	r.ok(fs.WaitFor(t.Context(), meta.Position{Epoch: 2, Seq: 4}))
}
