package model

import (
	"context"
	"time"
)

// claim is who has a name, and until when.
type claim struct {
	owner string
	until time.Time
}

// Claim implements meta.Claims.
func (e *Engine) Claim(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	now := e.v.clock()
	if c, ok := e.v.claims[name]; ok && c.owner != owner && now.Before(c.until) {
		return false, ctx.Err()
	}
	e.v.claims[name] = claim{owner: owner, until: now.Add(ttl)}
	return true, ctx.Err()
}

// Unclaim implements meta.Claims.
func (e *Engine) Unclaim(ctx context.Context, name, owner string) error {
	e.v.mu.Lock()
	defer e.v.mu.Unlock()
	if e.v.claims[name].owner == owner {
		delete(e.v.claims, name)
	}
	return ctx.Err()
}
