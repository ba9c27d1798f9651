package model

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// Tail implements meta.Source.
func (e *Engine) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	timeout, stop := context.WithTimeout(ctx, wait)
	defer stop()
	for {
		e.v.mu.Lock()
		entries, err := e.v.tail(after, limit)
		changed := e.v.changed
		e.v.mu.Unlock()
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		select {
		case <-changed:
		case <-timeout.Done():
			return nil, ctx.Err()
		}
	}
}

func (v *volume) tail(after meta.Position, limit int) ([]meta.LogEntry, error) {
	if after == v.state.Position {
		return nil, nil
	}
	next := after.Seq + 1
	first := v.state.Position.Seq - uint64(len(v.log)) + 1
	if next < first || next > v.state.Position.Seq {
		return nil, &meta.Error{Op: "tail", Errno: syscall.EIO, Err: meta.ErrGap}
	}
	rest := v.log[next-first:]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

// Scan implements meta.Source. Rows are given in the order of their keys, whatever
// changes meanwhile, and a cursor is the first key to come.
func (e *Engine) Scan(ctx context.Context, from meta.Cursor, limit int) (meta.Batch, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	rows := e.v.tables.rows()
	start := 0
	if from != nil {
		start, _ = slices.BinarySearchFunc(rows, string(from), func(r row, key string) int { return strings.Compare(r.key, key) })
	}
	end := min(start+max(limit, 1), len(rows))
	batch := meta.Batch{Total: uint64(len(e.v.tables.inodes))}
	for i := start; i < end; i++ {
		batch.Effects = meta.AppendEffect(batch.Effects, &rows[i].effect)
	}
	for i := range end {
		if rows[i].effect.Kind == meta.EffectInode {
			batch.Done++
		}
	}
	if end < len(rows) {
		batch.Next = meta.Cursor(rows[end].key)
	}
	return batch, ctx.Err()
}

// Acknowledge implements meta.Source.
func (e *Engine) Acknowledge(ctx context.Context, s meta.MirrorState) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	e.v.mirrors[s.Site] = s
	return ctx.Err()
}

// Mirrors implements meta.Source.
func (e *Engine) Mirrors(ctx context.Context) ([]meta.MirrorState, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	var all []meta.MirrorState
	for site := range 256 {
		if s, ok := e.v.mirrors[uint8(site)]; ok {
			all = append(all, s)
		}
	}
	return all, ctx.Err()
}

// ForgetMirror implements meta.Source.
func (e *Engine) ForgetMirror(ctx context.Context, site uint8) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	delete(e.v.mirrors, site)
	return ctx.Err()
}
