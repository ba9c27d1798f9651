package meta

import (
	"context"
	"time"
)

// Claims is the optional power of an Engine to let the clients of its site share
// work out: who has the claim does it, the others wait for what comes of it. A claim
// is advice, not a lock: it ends by itself, is not mirrored, leaves no record, and a
// server that was started anew may have lost it. So work that two do at once must be
// wasteful at worst. Each method is one or two round trips.
type Claims interface {
	// Claim takes a name for an owner until ttl has passed, or prolongs it when the
	// owner has it, and reports whether the owner has it now.
	Claim(ctx context.Context, name, owner string, ttl time.Duration) (bool, error)
	// Unclaim gives a name back. Nothing happens when the owner does not have it.
	Unclaim(ctx context.Context, name, owner string) error
}
