package redis

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
)

// Options are what Open and Format need beside the address. The zero value works.
type Options struct {
	// Password is used when the address has none.
	Password string
	// SentinelPassword is that of the Sentinels themselves.
	SentinelPassword string
	// ChangeTimeout bounds a change or a question from its first send to its answer,
	// resends included. Default 30 s.
	ChangeTimeout time.Duration
	// CallTimeout is how long one send waits for its answer before the connection is
	// given up and the call sent again on another. Default 5 s.
	CallTimeout time.Duration
	// Connections bounds those to the server. Default 32.
	Connections int
	// Slots bounds the changes under way at a time, from 1 to MaxSlots. Default 64.
	Slots int
	// SessionTTL is how long a session lives without a heartbeat. Default
	// meta.SessionTTL; who changes it must give heartbeats accordingly.
	SessionTTL time.Duration
	// LockPoll is how often who waits for a lock asks again although nobody told it
	// to: news may be lost. Default 3 s, at most 5 s or it loses its place.
	LockPoll time.Duration
	// Clock gives the time of changes. With a clock, the life of sessions is
	// measured by it too; nil means time.Now, and the server's time for sessions.
	Clock func() time.Time
	// Logger gets lost connections, and errors that nobody expects; nil means none.
	Logger *slog.Logger
	// Metrics gets counters of calls, their durations and bytes, with the label server=Name,
	// "here" if empty; nil means none.
	Metrics prometheus.Registerer
	Name    string
	// Dialer makes connections, on which TLS is spoken if the address says so; nil means
	// the network's.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// Relay makes connections that lead to the server by another way, by one that dial makes: on
	// them no TLS is spoken here. When it fails the server is dialed directly. nil means that there is
	// none.
	Relay func(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error)) (net.Conn, error)
}

// MaxSlots bounds Options.Slots: what the end of a session cleans up.
const MaxSlots = 1024

func (o *Options) setDefaults() {
	if o.ChangeTimeout <= 0 {
		o.ChangeTimeout = 30 * time.Second
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.Connections <= 0 {
		o.Connections = 32
	}
	if o.Slots <= 0 {
		o.Slots = 64
	}
	o.Slots = min(o.Slots, MaxSlots)
	if o.SessionTTL <= 0 {
		o.SessionTTL = meta.SessionTTL
	}
	if o.LockPoll <= 0 {
		o.LockPoll = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// now is the time of a change.
func (o *Options) now() time.Time {
	if o.Clock != nil {
		return o.Clock()
	}
	return time.Now()
}
