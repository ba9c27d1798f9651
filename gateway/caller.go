package gateway

import "context"

// Caller is who made a request, as its signature proves.
type Caller struct {
	// AccessKey is empty when the request had no signature.
	AccessKey string
}

type callerKey struct{}

// WithCaller gives a context that tells who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who asks; nobody when no front end said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
