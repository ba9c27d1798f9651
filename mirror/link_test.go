package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mirrorfs/meta"
)

// wan is a way to the source that can be slow or cut, and counts what goes over it.
type wan struct {
	mu    sync.Mutex
	down  bool
	delay func() time.Duration

	changes, reads, others atomic.Int64
}

func (w *wan) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// cross waits as long as the way takes, or fails when it is cut.
func (w *wan) cross(ctx context.Context) error {
	w.mu.Lock()
	down, delay := w.down, time.Duration(0)
	if w.delay != nil {
		delay = w.delay()
	}
	w.mu.Unlock()
	if down {
		return fmt.Errorf("%w: cut", meta.ErrUnreachable)
	}
	if delay == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// farEngine is the source's engine over a wan.
type farEngine struct {
	meta.Engine
	w *wan
}

func (e *farEngine) Change(ctx context.Context, c meta.Change) (meta.Result, error) {
	e.w.changes.Add(1)
	if err := e.w.cross(ctx); err != nil {
		return meta.Result{}, err
	}
	res, err := e.Engine.Change(context.WithoutCancel(ctx), c)
	return res, errors.Join(err, e.w.cross(context.WithoutCancel(ctx)))
}

func (e *farEngine) StartSession(ctx context.Context, info meta.SessionInfo) error {
	e.w.others.Add(1)
	if err := e.w.cross(ctx); err != nil {
		return err
	}
	return e.Engine.StartSession(ctx, info)
}

func (e *farEngine) Heartbeat(ctx context.Context, open []meta.Ino) error {
	e.w.others.Add(1)
	if err := e.w.cross(ctx); err != nil {
		return err
	}
	return e.Engine.Heartbeat(ctx, open)
}

func (e *farEngine) State(ctx context.Context) (meta.State, error) {
	e.w.others.Add(1)
	if err := e.w.cross(ctx); err != nil {
		return meta.State{}, err
	}
	return e.Engine.State(ctx)
}

func (e *farEngine) View(opts meta.ViewOptions) meta.Reader {
	return &farReader{r: e.Engine.View(opts), w: e.w}
}

// farReader is the source's Reader over a wan.
type farReader struct {
	r meta.Reader
	w *wan
}

func (f *farReader) cross(ctx context.Context) error {
	f.w.reads.Add(1)
	return f.w.cross(ctx)
}

func (f *farReader) Lookup(ctx context.Context, parent meta.Ino, name string) (meta.Node, error) {
	if err := f.cross(ctx); err != nil {
		return meta.Node{}, err
	}
	return f.r.Lookup(ctx, parent, name)
}

func (f *farReader) GetAttr(ctx context.Context, ino meta.Ino) (meta.Node, error) {
	if err := f.cross(ctx); err != nil {
		return meta.Node{}, err
	}
	return f.r.GetAttr(ctx, ino)
}

func (f *farReader) Resolve(ctx context.Context, ino meta.Ino, path string) ([]meta.Node, error) {
	if err := f.cross(ctx); err != nil {
		return nil, err
	}
	return f.r.Resolve(ctx, ino, path)
}

func (f *farReader) ReadDir(ctx context.Context, ino meta.Ino, after string, limit int) (meta.Page, error) {
	if err := f.cross(ctx); err != nil {
		return meta.Page{}, err
	}
	return f.r.ReadDir(ctx, ino, after, limit)
}

func (f *farReader) ReadLink(ctx context.Context, ino meta.Ino) (string, error) {
	if err := f.cross(ctx); err != nil {
		return "", err
	}
	return f.r.ReadLink(ctx, ino)
}

func (f *farReader) Extents(ctx context.Context, ino meta.Ino, first uint32, count int) (meta.Node, []meta.ChunkExtents, error) {
	if err := f.cross(ctx); err != nil {
		return meta.Node{}, nil, err
	}
	return f.r.Extents(ctx, ino, first, count)
}

func (f *farReader) GetXattr(ctx context.Context, ino meta.Ino, name string) ([]byte, error) {
	if err := f.cross(ctx); err != nil {
		return nil, err
	}
	return f.r.GetXattr(ctx, ino, name)
}

func (f *farReader) ListXattr(ctx context.Context, ino meta.Ino) ([]string, error) {
	if err := f.cross(ctx); err != nil {
		return nil, err
	}
	return f.r.ListXattr(ctx, ino)
}

func (f *farReader) StatFS(ctx context.Context) (meta.Usage, error) {
	if err := f.cross(ctx); err != nil {
		return meta.Usage{}, err
	}
	return f.r.StatFS(ctx)
}

func (f *farReader) Quotas(ctx context.Context) ([]meta.Quota, error) {
	if err := f.cross(ctx); err != nil {
		return nil, err
	}
	return f.r.Quotas(ctx)
}

func (f *farReader) QuotasAt(ctx context.Context, ino meta.Ino) ([]meta.Quota, error) {
	if err := f.cross(ctx); err != nil {
		return nil, err
	}
	return f.r.QuotasAt(ctx, ino)
}
