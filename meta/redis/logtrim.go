package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

const (
	// trimStep bounds the entries that one call removes.
	trimStep = 10000
	// trimRounds bounds how often a log that is too large is measured and cut: what is left
	// is estimated.
	trimRounds = 8
	// archiveField of {v}:local is up to where the log is archived.
	archiveField = "archive"
)

// TrimLog implements meta.Source.
func (e *Engine) TrimLog(ctx context.Context, keep int) (int64, error) {
	mirrors, err := e.Mirrors(ctx)
	if err != nil {
		return 0, err
	}
	limit := uint64(math.MaxInt64)
	for _, m := range mirrors {
		limit = min(limit, m.Applied.Seq)
	}
	v, err := e.Volume(ctx)
	if err != nil {
		return 0, err
	}
	state, err := e.State(ctx)
	if err != nil {
		return 0, err
	}
	if state.Role != meta.RoleSource || v.LogKeep == 0 {
		return e.trim(ctx, keep, limit)
	}
	archived, err := e.Archived(ctx)
	if err != nil {
		return 0, err
	}
	removed, err := e.trim(ctx, keep, min(limit, archived.Position.Seq))
	if err != nil || v.LogBytes == 0 {
		return removed, err
	}
	more, err := e.trimBytes(ctx, v.LogBytes, archived.Position.Seq)
	return removed + more, err
}

// trim removes entries up to a seq, but for the last keep.
func (e *Engine) trim(ctx context.Context, keep int, limit uint64) (int64, error) {
	removed := int64(0)
	for {
		reply, err := e.invoke(ctx, &call{function: "trim", args: []any{max(keep, 0), limit, trimStep}})
		if err != nil {
			return removed, e.fail(ctx, meta.Error{Op: "trim", Name: e.volume}, err)
		}
		n, _ := reply.(int64)
		if removed += n; n < trimStep {
			return removed, nil
		}
	}
}

// trimBytes removes entries up to a seq until the log takes no more than some bytes.
func (e *Engine) trimBytes(ctx context.Context, most int64, limit uint64) (int64, error) {
	removed := int64(0)
	for range trimRounds {
		log, err := e.logSize(ctx)
		if err != nil {
			return removed, e.fail(ctx, meta.Error{Op: "trim", Name: e.volume}, err)
		}
		if log.bytes <= most || log.length == 0 {
			return removed, nil
		}
		over := int64(math.Ceil(float64(log.length) * float64(log.bytes-most) / float64(log.bytes)))
		n, err := e.trim(ctx, int(log.length-over), limit)
		if removed += n; err != nil || n == 0 {
			return removed, err
		}
	}
	return removed, nil
}

// LogStart implements meta.Source.
func (e *Engine) LogStart(ctx context.Context) (meta.LogEntry, error) {
	about := meta.Error{Op: "log_start", Name: e.volume}
	var first []goredis.XMessage
	err := e.ask(ctx, "xrange", func(ctx context.Context) (err error) {
		first, err = e.client().XRangeN(ctx, e.prefix()+"log", "-", "+", 1).Result()
		return err
	})
	if err != nil {
		return meta.LogEntry{}, e.fail(ctx, about, err)
	}
	if len(first) == 0 {
		about.Errno, about.Err = syscall.EIO, fmt.Errorf("%w: the log is empty", meta.ErrGap)
		return meta.LogEntry{}, &about
	}
	at, err := meta.ParsePosition(first[0].ID)
	raw, ok := first[0].Values["r"].(string)
	if err == nil && !ok {
		err = errMalformed
	}
	if err != nil {
		return meta.LogEntry{}, e.fail(ctx, about, fmt.Errorf("log entry %s: %w", first[0].ID, err))
	}
	return meta.LogEntry{Position: at, Raw: []byte(raw)}, nil
}

// Archived implements meta.Source.
func (e *Engine) Archived(ctx context.Context) (meta.Archived, error) {
	var a meta.Archived
	text, err := e.hget(ctx, e.prefix()+"local", archiveField)
	if errors.Is(err, goredis.Nil) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return a, e.fail(ctx, meta.Error{Op: "archived", Name: e.volume}, err)
	}
	return a, nil
}

// SetArchived implements meta.Source.
func (e *Engine) SetArchived(ctx context.Context, from, to meta.Archived) error {
	about := meta.Error{Op: "set_archived", Name: e.volume}
	args := make([]any, 2)
	for i, a := range []meta.Archived{from, to} {
		text, err := archivedText(a)
		if err != nil {
			return e.fail(ctx, about, err)
		}
		args[i] = text
	}
	reply, err := e.invoke(ctx, &call{function: "set_archived", args: args})
	if err != nil {
		return e.fail(ctx, about, err)
	}
	if n, _ := reply.(int64); n != 1 {
		about.Errno, about.Err = syscall.EAGAIN, meta.ErrMoved
		return &about
	}
	return nil
}

// archivedText is what is stored; nothing for the zero value.
func archivedText(a meta.Archived) (string, error) {
	if a == (meta.Archived{}) {
		return "", nil
	}
	text, err := json.Marshal(a)
	return string(text), err
}
