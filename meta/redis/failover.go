package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

var (
	_ meta.Failover = (*Engine)(nil)
	_ meta.Mover    = (*Engine)(nil)
)

// Fence implements meta.Failover.
func (e *Engine) Fence(ctx context.Context, note, seen string) (meta.State, error) {
	return e.takeRole(ctx, &call{function: "fence", args: []any{note, seen}})
}

// Unfence implements meta.Failover.
func (e *Engine) Unfence(ctx context.Context, at meta.State, note string) error {
	_, err := e.takeRole(ctx, &call{function: "unfence", args: []any{appendPlace(&at), note}})
	return err
}

// Demote implements meta.Failover.
func (e *Engine) Demote(ctx context.Context, at meta.State) error {
	_, err := e.takeRole(ctx, &call{function: "demote", args: []any{appendPlace(&at)}})
	return err
}

// Promote implements meta.Failover.
func (e *Engine) Promote(ctx context.Context, at meta.State, v meta.Volume, skip meta.Skip) (meta.State, error) {
	settings, err := json.Marshal(v)
	if err != nil {
		return meta.State{}, fmt.Errorf("promote: %w", err)
	}
	if err := e.expectSessions(ctx); err != nil {
		return meta.State{}, e.fail(ctx, meta.Error{Op: "promote", Name: e.volume}, err)
	}
	return e.takeRole(ctx, &call{
		function: "promote", head: newHead(meta.OpFailover, e.opts.now(), 0, &slot{}),
		args: []any{appendPlace(&at), settings, uint64(skip.Inodes), skip.Slices},
	})
}

// takeRole makes a call that answers with the state.
func (e *Engine) takeRole(ctx context.Context, c *call) (meta.State, error) {
	about := meta.Error{Op: c.function, Name: e.volume}
	reply, err := e.invoke(ctx, c)
	if err != nil {
		return meta.State{}, e.fail(ctx, about, err)
	}
	text, _ := reply.(string)
	s, err := decodeState([]byte(text))
	if err != nil {
		return s, e.fail(ctx, about, err)
	}
	return s, nil
}

// appendPlace is the 28 bytes of position and chain by which functions know a state.
func appendPlace(s *meta.State) []byte { return append(appendPosition(nil, s.Position), s.Chain...) }

// expectSessions lets the sessions that a mirror knows live for a while: nothing but their
// clients' next heartbeats tells the new source that they do. On a mirror it means nothing.
func (e *Engine) expectSessions(ctx context.Context) error {
	sessions, err := e.Sessions(ctx)
	if err != nil {
		return err
	}
	now := time.Time{}
	if e.opts.Clock != nil {
		now = e.opts.Clock()
	} else if err = e.ask(ctx, "time", func(ctx context.Context) error {
		now, err = e.client().Time(ctx).Result()
		return err
	}); err != nil {
		return err
	}
	until := float64(now.Add(e.opts.SessionTTL).UnixMilli())
	const batch = 1000
	for len(sessions) > 0 {
		n := min(batch, len(sessions))
		members := make([]goredis.Z, 0, n)
		for i := range sessions[:n] {
			members = append(members, goredis.Z{Score: until, Member: sessionBytes(sessions[i].ID)})
		}
		sessions = sessions[n:]
		err := e.ask(ctx, "zadd", func(ctx context.Context) error {
			return e.client().ZAddArgs(ctx, e.prefix()+"h", goredis.ZAddArgs{GT: true, Members: members}).Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var errOtherVolume = errors.New("engine of another volume or kind")

// MoveTo implements meta.Mover. What is under way at the old server is cut off there and
// sent again to the new one, which recognizes what it has.
func (e *Engine) MoveTo(to meta.Engine) error {
	o, ok := to.(*Engine)
	if !ok || o.volume != e.volume {
		return &meta.Error{Op: "move", Name: e.volume, Errno: syscall.EINVAL, Err: errOtherVolume}
	}
	old := e.at.Swap(o.at.Load())
	e.locks.news.restart()
	if err := old.client.Close(); err != nil {
		e.opts.Logger.DebugContext(context.Background(), "connections to the old source", logError(err))
	}
	return nil
}
