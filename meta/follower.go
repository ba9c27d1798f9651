package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// Follower is the optional power of an Engine that may answer from behind the source, as a
// mirror's does: where its caller is in the log. Of an Engine without it, each answer is of
// its State or later.
type Follower interface {
	// Seen gives the position from which on everything is visible, at any site, that was
	// read or changed through this engine before. It asks nothing unless nothing was read
	// yet, or what was read last was of an unknown position.
	Seen(ctx context.Context) (Position, error)
	// Reach returns when every question that is asked later through this engine is answered
	// as of a position or a later one. When ctx ends before, the error is NotReached.
	Reach(ctx context.Context, at Position) error
}

// NotReached is the error of a wait for a position that ended with its context: ETIMEDOUT at
// a deadline, EINTR otherwise, and ErrBehind as the cause.
func NotReached(ctx context.Context, at Position) error {
	err := &Error{Op: "wait", Errno: syscall.EINTR, Err: fmt.Errorf("%s: %w", at, ErrBehind)}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err.Errno = syscall.ETIMEDOUT
	}
	return err
}

// Lost reports whether the record of a position was acknowledged by a source that another site
// took the place of without it: no site will ever show what it did.
func Lost(promotions []Promotion, at Position) bool {
	return slices.ContainsFunc(promotions, func(p Promotion) bool { return at.Epoch < p.Epoch && p.After.Seq < at.Seq })
}
