package main

import (
	"context"
	"errors"
	"fmt"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/redis"
)

// localLoad is the fact of a site that a dump is being loaded there. A volume that is
// neither a source nor a mirror, and has it, is what a load left that failed.
const localLoad = "load"

// loading is a load under way: an empty place that becomes a volume.
type loading struct {
	c    *cli
	addr string
	name string // empty: as in the dump
	old  meta.Volume

	*redis.Engine // nil until open
}

// open finds out whether the place is empty.
func (l *loading) open(ctx context.Context, v meta.Volume) (dump.Target, error) {
	l.old = v
	if l.name == "" {
		l.name = v.Name
	}
	e, err := redis.OpenReplica(ctx, l.addr, l.name, redis.Options{Password: l.c.getenv(envMetaPassword), Logger: l.c.log})
	if err != nil {
		return nil, err
	}
	l.Engine = e
	if _, err := l.c.checkServer(ctx, e); err != nil {
		return nil, err
	}
	s, err := e.State(ctx)
	if errors.Is(err, meta.ErrNoVolume) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	local, err := e.Local(ctx)
	if err != nil {
		return nil, err
	}
	if s.Role == meta.RoleBootstrapping && local[localLoad] != "" {
		return l, nil
	}
	err = fmt.Errorf("%w: %s at %s", meta.ErrVolumeExists, l.name, e.Address())
	return nil, hintf(err, "another META, or another NAME: mirrorfs load FILE META NAME")
}

// Reset notes what is going on before anything is there.
func (l *loading) Reset(ctx context.Context, v meta.Volume, from meta.State) error {
	if err := l.SetLocal(ctx, map[string]string{localLoad: from.Position.String()}); err != nil {
		return err
	}
	return l.Engine.Reset(ctx, v, from)
}

// finish gives the volume its name, when it has become a source.
func (l *loading) finish(ctx context.Context) error {
	if l.name != l.old.Name {
		v, err := l.Volume(ctx) // as of the end of the dump
		if err != nil {
			return err
		}
		v.Name = l.name
		if _, err := l.Change(ctx, meta.Settings{Volume: v}); err != nil {
			return err
		}
	}
	return l.SetLocal(ctx, map[string]string{localLoad: ""})
}

func (l *loading) close() error {
	if l.Engine == nil {
		return nil
	}
	return l.Close()
}
