package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// maxBlock bounds one blocking read, so that the end of a context is noticed.
const maxBlock = time.Second

// Tail implements meta.Source.
func (e *Engine) Tail(ctx context.Context, after meta.Position, limit int, wait time.Duration) ([]meta.LogEntry, error) {
	until := time.Now().Add(wait)
	for {
		block := min(time.Until(until), maxBlock)
		if block < time.Millisecond {
			block = -1
		}
		entries, err := e.read(ctx, after, limit, block)
		if err != nil || len(entries) > 0 || block < 0 {
			return entries, err
		}
	}
}

// read reads what is there, or waits for it, and the state, all in one round trip: a
// follower that had to ask twice for each record would be one round trip behind half
// of the time. Nothing there is right only at the log's end.
func (e *Engine) read(ctx context.Context, after meta.Position, limit int, block time.Duration) ([]meta.LogEntry, error) {
	about := meta.Error{Op: "tail", Name: e.volume}
	if err := ctx.Err(); err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var state *goredis.StringCmd
	var stream *goredis.XStreamSliceCmd
	err := e.ask(ctx, "xread", func(ctx context.Context) error {
		_, err := e.client().Pipelined(ctx, func(p goredis.Pipeliner) error {
			state = p.HGet(ctx, e.key, "state") // before the wait: what it says was in the log then
			stream = p.XRead(ctx, e.readArgs(after, limit, block))
			return nil
		})
		return err
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, e.fail(ctx, about, err)
	}
	b, err := state.Bytes()
	if errors.Is(err, goredis.Nil) {
		about.Errno, about.Err = syscall.ENOENT, meta.ErrNoVolume
		return nil, &about
	}
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	if streams := stream.Val(); len(streams) > 0 {
		return e.entries(ctx, after, streams[0].Messages)
	}
	s, err := decodeState(b)
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	if s.Position != after {
		about.Errno, about.Err = syscall.EIO, fmt.Errorf("%w: nothing follows %s, and the log is at %s", meta.ErrGap, after, s.Position)
		return nil, &about
	}
	return nil, nil
}

func (e *Engine) readArgs(after meta.Position, limit int, block time.Duration) *goredis.XReadArgs {
	return &goredis.XReadArgs{Streams: []string{e.prefix() + "log", after.String()}, Count: int64(max(limit, 1)), Block: block}
}

// entries checks that messages follow a position without a gap.
func (e *Engine) entries(ctx context.Context, after meta.Position, messages []goredis.XMessage) ([]meta.LogEntry, error) {
	about := meta.Error{Op: "tail", Name: e.volume}
	entries := make([]meta.LogEntry, 0, len(messages))
	for _, m := range messages {
		at, err := meta.ParsePosition(m.ID)
		if err != nil {
			return nil, e.fail(ctx, about, err)
		}
		raw, ok := m.Values["r"].(string)
		if !ok {
			return nil, e.fail(ctx, about, fmt.Errorf("log entry %s: %w", at, errMalformed))
		}
		if at.Seq != after.Seq+1 {
			about.Errno, about.Err = syscall.EIO, fmt.Errorf("%w: %s follows %s", meta.ErrGap, at, after)
			return nil, &about
		}
		entries = append(entries, meta.LogEntry{Position: at, Raw: []byte(raw)})
		after = at
	}
	return entries, nil
}

// Acknowledge implements meta.Source.
func (e *Engine) Acknowledge(ctx context.Context, s meta.MirrorState) error {
	about := meta.Error{Op: "acknowledge", Name: s.Name}
	text, err := json.Marshal(s)
	if err == nil {
		err = e.ask(ctx, "hset", func(ctx context.Context) error {
			return e.client().HSet(ctx, e.prefix()+"m", formatUint(uint32(s.Site)), text).Err()
		})
	}
	if err != nil {
		return e.fail(ctx, about, err)
	}
	return nil
}

// Mirrors implements meta.Source.
func (e *Engine) Mirrors(ctx context.Context) ([]meta.MirrorState, error) {
	about := meta.Error{Op: "mirrors", Name: e.volume}
	rows, err := e.hgetall(ctx, e.prefix()+"m")
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	var all []meta.MirrorState
	for site, text := range rows {
		var s meta.MirrorState
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, e.fail(ctx, about, fmt.Errorf("mirror at site %s: %w", site, err))
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b meta.MirrorState) int {
		if a.Site != b.Site {
			return int(a.Site) - int(b.Site)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

func (s *server) hgetall(ctx context.Context, key string) (rows map[string]string, err error) {
	err = s.ask(ctx, "hgetall", func(ctx context.Context) error {
		rows, err = s.client().HGetAll(ctx, key).Result()
		return err
	})
	return rows, err
}

// ForgetMirror implements meta.Source.
func (e *Engine) ForgetMirror(ctx context.Context, site uint8) error {
	err := e.ask(ctx, "hdel", func(ctx context.Context) error {
		return e.client().HDel(ctx, e.prefix()+"m", formatUint(uint32(site))).Err()
	})
	if err != nil {
		return e.fail(ctx, meta.Error{Op: "forget_mirror", Name: e.volume}, err)
	}
	return nil
}
