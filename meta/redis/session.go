package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"mirrorfs/meta"
)

// current is the session of changes, 0 when there is none.
func (e *Engine) current() meta.SessionID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.session
}

func (e *Engine) setCurrent(id meta.SessionID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = id
}

// lifeClock is the time by which sessions live and die, in ms: empty for the server's.
func (e *Engine) lifeClock() string {
	if e.opts.Clock == nil {
		return ""
	}
	return strconv.FormatInt(e.opts.Clock().UnixMilli(), 10)
}

// StartSession implements meta.Engine.
func (e *Engine) StartSession(ctx context.Context, info meta.SessionInfo) error {
	about := meta.Error{Op: meta.OpSessionStart.String()}
	text, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	id := meta.SessionID(binary.BigEndian.Uint64(b[:]) | 1) // not zero
	args := []any{text, e.opts.SessionTTL.Milliseconds(), e.lifeClock()}
	if _, err := e.change(ctx, about, meta.OpSessionStart, e.opts.now(), id, "session_start", args); err != nil {
		return err
	}
	e.setCurrent(id)
	return nil
}

// Heartbeat implements meta.Engine.
func (e *Engine) Heartbeat(ctx context.Context, open []meta.Ino) error {
	about := meta.Error{Op: "heartbeat"}
	args := make([]any, 0, 3+len(open))
	args = append(args, sessionBytes(e.current()), e.opts.SessionTTL.Milliseconds(), e.lifeClock())
	for _, ino := range open {
		args = append(args, uint64(ino))
	}
	reply, err := e.invoke(ctx, &call{function: "heartbeat", args: args})
	if err != nil {
		return e.fail(ctx, about, err)
	}
	began, _ := reply.(string)
	if began != "" {
		e.locks.doubt(began)
		about.Errno, about.Err = syscall.EAGAIN, meta.ErrLocksInDoubt
		return &about
	}
	return nil
}

// EndSession implements meta.Engine.
func (e *Engine) EndSession(ctx context.Context) error {
	id := e.current()
	if id == 0 {
		return nil
	}
	// The change has no session of its own, so that no reply is kept for one that is gone.
	about := meta.Error{Op: meta.OpSessionEnd.String()}
	_, err := e.change(ctx, about, meta.OpSessionEnd, e.opts.now(), 0, "session_end", []any{sessionBytes(id), 1, e.lifeClock()})
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	e.setCurrent(0)
	return nil
}

// Sessions implements meta.Purger.
func (e *Engine) Sessions(ctx context.Context) ([]meta.Session, error) {
	about := meta.Error{Op: "sessions"}
	reply, err := e.invoke(ctx, &call{function: "sessions", readOnly: true, args: []any{""}})
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	const columns = 5
	rows, err := texts(reply, columns)
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var all []meta.Session
	for ; len(rows) > 0; rows = rows[columns:] {
		var s meta.Session
		if len(rows[0]) != 8 {
			return nil, e.fail(ctx, about, fmt.Errorf("session of %d bytes", len(rows[0])))
		}
		s.ID = meta.SessionID(binary.BigEndian.Uint64([]byte(rows[0])))
		if err := json.Unmarshal([]byte(rows[1]), &s.Info); err != nil {
			return nil, e.fail(ctx, about, fmt.Errorf("session %d: %w", s.ID, err))
		}
		if ms, err := strconv.ParseFloat(rows[2], 64); err == nil {
			s.Expires = time.UnixMilli(int64(ms))
		}
		if s.OpenFiles, err = strconv.Atoi(rows[3]); err == nil {
			s.Locks, err = strconv.Atoi(rows[4])
		}
		if err != nil {
			return nil, e.fail(ctx, about, fmt.Errorf("session %d: %w", s.ID, err))
		}
		all = append(all, s)
	}
	return all, nil
}

// OpenFiles returns the inodes that a session said it has open, about limit of them. Only the
// source knows.
func (e *Engine) OpenFiles(ctx context.Context, id meta.SessionID, limit int) ([]meta.Ino, error) {
	var members []string
	err := e.ask(ctx, "sscan", func(ctx context.Context) (err error) {
		members, _, err = e.client().SScan(ctx, e.prefix()+"u"+hex.EncodeToString(sessionBytes(id)), 0, "", int64(limit)).Result()
		return err
	})
	about := meta.Error{Op: "openfiles"}
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	inos := make([]meta.Ino, 0, min(limit, len(members)))
	for _, m := range members[:min(limit, len(members))] {
		ino, err := strconv.ParseUint(m, 10, 64)
		if err != nil {
			return nil, e.fail(ctx, about, err)
		}
		inos = append(inos, meta.Ino(ino))
	}
	return inos, nil
}
