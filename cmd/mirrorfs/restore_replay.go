package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/redis"
	"mirrorfs/mirror"
	"mirrorfs/mirror/segments"
)

// restoring is a restore under way.
type restoring struct {
	loading
	opts   restoreOptions
	limit  segments.Limit
	result restoreResult
	id     string // of the volume that is restored from
	kept   string // name of the hold there

	applied int // records since the log of the new volume was trimmed
}

// trimEvery is how many records are replayed before the new volume's log is trimmed: nobody
// follows it.
const trimEvery = 50_000

// run loads the dump and replays what followed.
func (r *restoring) run(ctx context.Context, file string) error {
	bar := r.c.newProgress()
	defer bar.done()
	opts := r.c.dumpOptions(bar, "loaded")
	opts.Continue = func(ctx context.Context, _ dump.Target, at meta.State) (meta.State, error) {
		return r.replay(ctx, at)
	}
	err := r.c.readFile(file, func(in io.Reader) error {
		_, err := dump.Load(ctx, in, func(ctx context.Context, v meta.Volume) (dump.Target, error) {
			if _, err := r.open(ctx, v); err != nil {
				return nil, err
			}
			return r, nil
		}, opts)
		return err
	})
	if err != nil {
		return err
	}
	return r.SetLocal(ctx, map[string]string{localLoad: ""})
}

// Apply keeps the new volume's log short.
func (r *restoring) Apply(ctx context.Context, from meta.State, entries []meta.LogEntry, target meta.Position) (meta.State, error) {
	s, err := r.loading.Apply(ctx, from, entries, target)
	if r.applied += len(entries); err == nil && r.applied >= trimEvery {
		r.applied = 0
		_, err = r.TrimLog(ctx, keptRecords)
	}
	return s, err
}

// replay applies what followed the dump, and then makes what is there a volume of its own. It is not
// to be used before: it would take the other one's blocks for its own.
func (r *restoring) replay(ctx context.Context, at meta.State) (_ meta.State, err error) {
	archive := r.c.newLogArchive(r, nil)
	defer func() { err = errors.Join(err, archive.close()) }()
	sources := []segments.Records{archive}
	if r.opts.from != "" {
		e, err := r.openFrom(ctx)
		if err != nil {
			return at, err
		}
		defer func() { _ = e.Close() }()
		sources = append(sources, segments.LogOf(e))
	}
	did, err := segments.Replay(ctx, r, at, r.limit, sources...)
	if err != nil {
		if errors.Is(err, segments.ErrNotReached) && r.opts.from == "" {
			err = hintf(err, "--from META of the volume that was dumped, if that still answers")
		}
		return did.State, err
	}
	v, err := r.settings(ctx)
	if err != nil {
		return did.State, err
	}
	if err := r.become(ctx, v); err != nil {
		return did.State, err
	}
	r.result = restoreResult{Volume: v, Position: did.State.Position, Time: did.Time, Records: did.Records, AtEnd: did.AtEnd}
	return did.State, nil
}

// openFrom opens the volume that was dumped.
func (r *restoring) openFrom(ctx context.Context) (*redis.Engine, error) {
	e, err := r.c.openSource(ctx, r.opts.from, sourceTimeout)
	if err != nil {
		return nil, err
	}
	v, err := e.Volume(ctx)
	if err == nil && v.ID != r.old.ID {
		err = usagef("--from %s: it holds another volume than the dump (%s)", redis.Redact(r.opts.from), v.Name)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// settings are those of the new volume: with a site of its own, and the sites of the other one
// to read from.
func (r *restoring) settings(ctx context.Context) (meta.Volume, error) {
	v, err := r.Volume(ctx) // as it was at the position
	if err != nil {
		return v, err
	}
	number, _ := strconv.Atoi(v.Extra[mirror.ExtraSites])
	origins := map[uint8]meta.Site{}
	for _, sites := range []map[uint8]meta.Site{v.Origins, v.Sites} {
		for id, site := range sites {
			number = max(number, int(id))
			if site.Bucket != "" {
				origins[id] = site
			}
		}
	}
	if number++; number > 255 {
		return v, errors.New("the volume has given away all 255 site numbers")
	}
	own := uint8(number)
	v.Name, v.ID, v.First, v.Origins = r.name, rand.Text(), own, origins
	v.Source, v.Promotions, v.Holds = 0, nil, nil // those were of the other volume's sites
	v.Sites = map[uint8]meta.Site{own: {ID: own, Name: r.opts.site, Bucket: r.opts.bucket}}
	if v.Extra = maps.Clone(v.Extra); v.Extra == nil {
		v.Extra = map[string]string{}
	}
	v.Extra[mirror.ExtraSites] = strconv.Itoa(number)
	return v, nil
}

// become claims the bucket and stores the settings, before the volume is a source.
func (r *restoring) become(ctx context.Context, v meta.Volume) error {
	store, err := r.c.openBucket(ctx, r.opts.bucket, r.opts.site, nil)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	release, err := claimBucket(ctx, store, v, r.opts.site)
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err == nil {
		err = r.Load(ctx, meta.AppendEffect(nil, &meta.Effect{Kind: meta.EffectSetting, Name: "volume", Value: text}))
	}
	if err != nil {
		return errors.Join(err, release(context.WithoutCancel(ctx)))
	}
	return nil
}

// tryBucket looks whether a bucket can be used, and is free.
func (c *cli) tryBucket(ctx context.Context, addr string) error {
	store, err := c.openProbed(ctx, addr)
	if err != nil {
		return err
	}
	err = probeBucket(ctx, store)
	if err == nil {
		if _, head := store.Head(ctx, claimKey); head == nil {
			err = hintf(fmt.Errorf("bucket %s belongs to another volume (it has an object %s)", store, claimKey), "another bucket, or a prefix in it")
		}
	}
	return errors.Join(err, store.Close())
}
