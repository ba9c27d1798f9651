package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"syscall"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

// hold makes the volume that is restored from keep what it had at a position. It reports false when that
// cannot be told: it was not named, or what was named is a mirror, whose source may be lost.
func (r *restoring) hold(ctx context.Context, at meta.Position) (bool, error) {
	if r.opts.from == "" {
		return false, nil
	}
	err := r.withFrom(ctx, func(e *redis.Engine) error {
		return setHold(ctx, e, r.kept, &meta.Hold{Position: at, Time: time.Now().UTC().Round(0), Reason: "volume " + r.name + " was restored from this one"})
	})
	if errors.Is(err, syscall.EROFS) {
		r.c.log.WarnContext(ctx, "the other volume cannot be told to keep what this one refers to", slog.Any("error", err))
		return false, nil
	}
	return err == nil, err
}

func (r *restoring) dropHold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
	defer cancel()
	return r.withFrom(ctx, func(e *redis.Engine) error { return setHold(ctx, e, r.kept, nil) })
}

// withFrom opens the volume that is restored from.
func (r *restoring) withFrom(ctx context.Context, do func(e *redis.Engine) error) error {
	e, err := r.c.openSource(ctx, r.opts.from, sourceTimeout)
	if err != nil {
		return err
	}
	v, err := e.Volume(ctx)
	if err == nil && v.ID != r.id {
		err = usagef("--from %s: it holds another volume than the dump (%s)", redis.Redact(r.opts.from), v.Name)
	}
	if err == nil {
		err = do(e)
	}
	return errors.Join(err, e.Close())
}

// setHold makes, moves or, of nil, drops a hold.
func setHold(ctx context.Context, e *redis.Engine, name string, h *meta.Hold) error {
	v, err := e.Volume(ctx)
	if err != nil {
		return err
	}
	if v.Holds = maps.Clone(v.Holds); h == nil {
		delete(v.Holds, name)
	} else {
		if v.Holds == nil {
			v.Holds = map[string]meta.Hold{}
		}
		v.Holds[name] = *h
	}
	_, err = e.Change(ctx, meta.Settings{Volume: v})
	return err
}

// gcDropHold lets a volume delete what it kept for another one.
func (c *cli) gcDropHold(ctx context.Context, addr, name string) error {
	return c.atSource(ctx, addr, func(ctx context.Context, e *redis.Engine) error {
		v, err := e.Volume(ctx)
		if err != nil {
			return err
		}
		if _, ok := v.Holds[name]; !ok {
			return hintf(fmt.Errorf("volume %s has no hold %q", v.Name, name), "mirrorfs status %s lists them", redis.Redact(addr))
		}
		if err := setHold(ctx, e, name, nil); err != nil {
			return err
		}
		return c.print(map[string]string{"dropped": name}, func(w io.Writer) { fmt.Fprintf(w, "dropped hold %s\n", name) })
	})
}
