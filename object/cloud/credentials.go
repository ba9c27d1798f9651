package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"mirrorfs/object"
)

// Credentials sign requests.
type Credentials struct {
	ID, Secret string
	Token      string    // of temporary ones
	Expires    time.Time // zero: never
}

// Source gives credentials; its error wraps ErrNone if it has none to give.
type Source func(ctx context.Context) (Credentials, error)

// ErrNone is a source that does not know any credentials.
var ErrNone = errors.New("none")

// Chain asks one source after the other, until one has credentials. One that
// fails ends the search: others might belong to another account.
func Chain(sources ...Source) Source {
	return func(ctx context.Context) (Credentials, error) {
		var none []error
		for _, source := range sources {
			c, err := source(ctx)
			if !errors.Is(err, ErrNone) {
				return c, err
			}
			none = append(none, err)
		}
		return Credentials{}, errors.Join(none...)
	}
}

// Variables are the names of environment variables.
type Variables struct{ ID, Secret, Token string }

// Environment gives credentials from variables.
func Environment(v Variables) Source {
	return func(context.Context) (Credentials, error) {
		c := Credentials{ID: os.Getenv(v.ID), Secret: os.Getenv(v.Secret), Token: os.Getenv(v.Token)}
		if c.ID == "" && c.Secret == "" {
			return c, fmt.Errorf("%w in %s and %s", ErrNone, v.ID, v.Secret)
		}
		if c.ID == "" || c.Secret == "" {
			return c, fmt.Errorf("of %s and %s only one is set", v.ID, v.Secret)
		}
		return c, nil
	}
}

const (
	renewBefore = 10 * time.Minute // of expiry: clouds hand out new ones earlier than that
	renewEvery  = 30 * time.Second // when renewing failed, or gave the old ones
)

// Provider keeps the credentials of a source, and asks it again before they
// expire. It may be used concurrently.
type Provider struct {
	source  Source
	asking  chan struct{} // held by who asks the source
	current atomic.Pointer[held]
}

type held struct {
	Credentials
	renew time.Time // when to ask again; zero: never
}

func (h *held) valid(now time.Time) bool {
	return h != nil && (h.Expires.IsZero() || now.Before(h.Expires))
}

func (h *held) fresh(now time.Time) bool {
	return h.valid(now) && (h.renew.IsZero() || now.Before(h.renew))
}

// NewProvider asks nothing yet.
func NewProvider(source Source) *Provider {
	return &Provider{source: source, asking: make(chan struct{}, 1)}
}

// Get gives credentials that are valid now. While they are being renewed, those
// that are still valid are given, and also when renewing fails. Without any it
// fails with object.ErrDenied, unless there were some before: then the source is
// likely to come back.
func (p *Provider) Get(ctx context.Context) (Credentials, error) {
	h := p.current.Load()
	if h.fresh(time.Now()) {
		return h.Credentials, nil
	}
	if h.valid(time.Now()) {
		select {
		case p.asking <- struct{}{}:
		default:
			return h.Credentials, nil // another one asks
		}
	} else {
		select {
		case p.asking <- struct{}{}:
		case <-ctx.Done():
			return Credentials{}, ctx.Err()
		}
	}
	defer func() { <-p.asking }()
	if h = p.current.Load(); h.fresh(time.Now()) {
		return h.Credentials, nil
	}
	return p.ask(ctx, h)
}

// Current gives what the last Get gave, without asking the source.
func (p *Provider) Current() Credentials {
	if h := p.current.Load(); h != nil {
		return h.Credentials
	}
	return Credentials{}
}

func (p *Provider) ask(ctx context.Context, old *held) (Credentials, error) {
	c, err := p.source(ctx)
	now := time.Now()
	switch {
	case err == nil:
		h := &held{Credentials: c}
		if !c.Expires.IsZero() {
			h.renew = c.Expires.Add(-renewBefore)
			if h.renew.Before(now) {
				h.renew = now.Add(renewEvery)
			}
		}
		p.current.Store(h)
		return c, nil
	case old.valid(now):
		p.current.Store(&held{Credentials: old.Credentials, renew: now.Add(renewEvery)})
		return old.Credentials, nil
	case old != nil:
		return c, fmt.Errorf("renewing credentials: %w", err)
	case ctx.Err() != nil:
		return c, err
	}
	return c, NoCredentials(err)
}

// NoCredentials is an object.ErrDenied: none are set, or the place that should
// give them does not answer.
func NoCredentials(err error) error {
	return fmt.Errorf("%w: no credentials: %w", object.ErrDenied, err)
}
