package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/meta/redis/local"
)

// demoSite is one of the two sites.
type demoSite struct {
	meta  string // metadata address
	mnt   string // where the volume is mounted
	mount *child
}

// demoSites is the world of the demo: A the source, B the mirror, and the link
// that B reaches A's Redis by.
type demoSites struct {
	lab  *lab
	a, b demoSite
	link *wan.Link
}

// setUpSites makes both sites as a person would, command by command.
func setUpSites(ctx context.Context, l *lab, opts demoOptions) (*demoSites, error) {
	s := &demoSites{lab: l}
	say := l.c.sayf
	say("two sites on this machine, %v apart, below %s", opts.rtt, l.dir)
	var err error
	for name, site := range map[string]*demoSite{"a": &s.a, "b": &s.b} {
		if err := l.mkdir(name); err != nil {
			return nil, err
		}
		if site.meta, err = l.redis(ctx, name+"/meta"); err != nil {
			return nil, err
		}
	}
	bucket := "file://" + l.path("a", "bucket")
	if opts.s3 {
		say("  starting an S3 server (the first time, it is built)")
		if bucket, err = l.s3(ctx, "demo"); err != nil {
			return nil, err
		}
	}
	if err := s.do(ctx, "format", s.a.meta, "demo", "--bucket", bucket); err != nil {
		return nil, err
	}
	socket, err := local.Socket(l.path("a", "meta"))
	if err != nil {
		return nil, err
	}
	if s.link, err = wan.Listen(ctx, "unix", socket, opts.rtt); err != nil {
		return nil, err
	}
	l.onClose(func(context.Context) error { return s.link.Close() })
	if err := s.do(ctx, "mirror", "add", "redis://"+s.link.Addr()+"/0", s.b.meta, "--site", "b"); err != nil {
		return nil, err
	}
	if s.a.mnt, s.a.mount, err = l.mount(ctx, "a/mnt", s.a.meta); err != nil {
		return nil, err
	}
	say("  mirrorfs mirror run %s", s.b.meta)
	if _, err := l.start("runner", "mirror", "run", s.b.meta); err != nil {
		return nil, err
	}
	if s.b.mnt, s.b.mount, err = l.mount(ctx, "b/mnt", s.b.meta); err != nil {
		return nil, err
	}
	say("  mirrorfs mount %s %s", s.a.meta, s.a.mnt)
	say("  mirrorfs mount %s %s", s.b.meta, s.b.mnt)
	return s, nil
}

// do says a command and runs it.
func (s *demoSites) do(ctx context.Context, args ...string) error {
	s.lab.c.sayf("  mirrorfs %s", strings.Join(args, " "))
	_, err := s.lab.run(ctx, args...)
	return err
}

// mirrorLag is the part of the mirror's status that the demo shows.
type mirrorLag struct {
	State      string  `json:"state"`
	Reason     string  `json:"reason"`
	LagRecords int64   `json:"lag_records"`
	LagSeconds float64 `json:"lag_seconds"`
}

// lag asks the mirror how far it is.
func (s *demoSites) lag(ctx context.Context) (mirrorLag, error) {
	var m mirrorLag
	out, err := s.lab.run(ctx, "mirror", "status", s.b.meta, "--json")
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		return m, fmt.Errorf("status of the mirror: %w", err)
	}
	if m.State == "stalled" {
		return m, fmt.Errorf("the mirror is stalled: %s", m.Reason)
	}
	return m, nil
}

// catchUp waits until everything acknowledged at A so far is readable at B.
func (s *demoSites) catchUp(ctx context.Context) error {
	_, err := s.lab.run(ctx, "mirror", "wait", s.b.meta, "--timeout", "10m")
	return err
}
