package redis

import (
	"context"
	"time"

	"mirrorfs/meta"
)

// Claim implements meta.Claims.
func (e *Engine) Claim(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	about := meta.Error{Op: "claim", Name: name}
	reply, err := e.invoke(ctx, &call{function: "claim", args: []any{name, owner, max(ttl.Milliseconds(), 1)}})
	if err != nil {
		return false, e.fail(ctx, about, err)
	}
	mine, _ := reply.(int64)
	return mine == 1, nil
}

// Unclaim implements meta.Claims.
func (e *Engine) Unclaim(ctx context.Context, name, owner string) error {
	if _, err := e.invoke(ctx, &call{function: "unclaim", args: []any{name, owner}}); err != nil {
		return e.fail(ctx, meta.Error{Op: "unclaim", Name: name}, err)
	}
	return nil
}
