package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"mirrorfs/meta"
)

// asClient opens the volume at a metadata address and does something under a session, as
// changes need one.
func (c *cli) asClient(ctx context.Context, addr string, do func(ctx context.Context, v *volume) error) (err error) {
	v, err := c.openVolume(ctx, addr, volumeOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this machine: %w", err)
	}
	err = v.Engine.StartSession(ctx, meta.SessionInfo{
		Host: host, PID: os.Getpid(), Kind: "cli", Site: v.Site.Name, Version: version().Version, Started: time.Now(),
	})
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	beside, stop := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { c.beat(beside, v.Engine) })
	err = do(ctx, v)
	stop()
	beats.Wait()
	return errors.Join(err, v.Engine.EndSession(context.WithoutCancel(ctx)))
}

// beat keeps a session alive until ctx ends.
func (c *cli) beat(ctx context.Context, e meta.Engine) {
	tick := time.NewTicker(meta.HeartbeatInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := e.Heartbeat(ctx, nil)
		if errors.Is(err, meta.ErrLocksInDoubt) {
			err = e.ConfirmLocks(ctx) // there are none
		}
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "heartbeat failed", slog.Any("error", err))
		}
	}
}
