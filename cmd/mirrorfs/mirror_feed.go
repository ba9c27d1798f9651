package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
)

// feedTimeout is how long a mirror that is to feed another one may take to hear of that.
const feedTimeout = 30 * time.Second

// feedOptions name the mirror that another one is to follow.
type feedOptions struct {
	address string // noAddress is the source
	timeout time.Duration
}

// noAddress takes an address away, in mirror set.
const noAddress = "none"

// openFeeder opens the metadata of a mirror that is to feed another one. It is reached with
// the password of the source, which it may become. An empty address opens nothing.
func (c *cli) openFeeder(ctx context.Context, addr string, to *mirror.Site) (closer func() error, err error) {
	if addr == "" || addr == noAddress {
		return func() error { return nil }, nil
	}
	e, err := redis.Open(ctx, addr, redis.Options{Password: c.getenv(envSourcePassword), ChangeTimeout: sourceTimeout, Logger: c.log})
	if err != nil {
		return nil, explainMeta(err, addr, envSourcePassword)
	}
	*to = e
	return e.Close, nil
}

func (c *cli) mirrorSetFeed(ctx context.Context, addr string, feed feedOptions) (err error) {
	site, source, err := c.openMirrorAndSource(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(), source.Close()) }()
	var feeder mirror.Site
	closeFeeder, err := c.openFeeder(ctx, feed.address, &feeder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFeeder()) }()
	waiting, cancel := context.WithTimeout(ctx, feed.timeout)
	defer cancel()
	info, err := mirror.SetFeed(waiting, source, site, feeder, feed.address)
	if err != nil {
		return err
	}
	return c.print(info, func(w io.Writer) {
		follows := "its source at " + info.Source
		if info.Feed != "" {
			follows = "the mirror at " + info.Feed
		}
		fmt.Fprintf(w, "mirror %s follows %s\n", info.Name, follows)
	})
}
