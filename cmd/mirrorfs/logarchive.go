package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/meta"
	"mirrorfs/mirror"
	"mirrorfs/mirror/segments"
	"mirrorfs/object"
)

// logArchive is the segments of a volume in the buckets of all its sites, as its settings
// name them at the time: any of them may have been the source.
type logArchive struct {
	siteBuckets
	site interface {
		Volume(ctx context.Context) (meta.Volume, error)
	}
}

// newLogArchive makes one; reg is of its buckets and may be nil.
func (c *cli) newLogArchive(site interface {
	Volume(ctx context.Context) (meta.Volume, error)
}, reg prometheus.Registerer,
) *logArchive {
	return &logArchive{siteBuckets: siteBuckets{c: c, reg: reg}, site: site}
}

var _ mirror.Archive = (*logArchive)(nil)

// Tail implements mirror.Archive.
func (a *logArchive) Tail(ctx context.Context, after meta.State) ([]meta.LogEntry, error) {
	all, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	return all.Tail(ctx, after)
}

// open opens the buckets that are not open yet.
func (a *logArchive) open(ctx context.Context) (*segments.Archive, error) {
	v, err := a.site.Volume(ctx)
	if err != nil {
		return nil, err
	}
	homes, err := a.own(ctx, v)
	if err != nil {
		return nil, err
	}
	var stores []object.Store
	for _, id := range slices.Sorted(maps.Keys(homes)) {
		stores = append(stores, homes[id])
	}
	return segments.NewArchive(v.ID, stores...)
}

// logSegments is what status tells of a log's segments.
type logSegments struct {
	segments.Summary
	Keep string `json:"keep"`
	// Error says why they could not be listed.
	Error string `json:"error,omitempty"`
}

// String is for people.
func (s *logSegments) String() string {
	switch {
	case s.Error != "":
		return "its segments cannot be listed: " + s.Error
	case s.Segments == 0:
		return "no segments yet, kept for " + s.Keep
	}
	return fmt.Sprintf("%d segments, from %s to %s, %s, kept for %s", s.Segments, s.First, s.Last, formatBytes(s.Bytes), s.Keep)
}

// segmentsTimeout bounds how long status waits for buckets.
const segmentsTimeout = 5 * time.Second

// logSegments lists the segments of a volume; nil when it keeps none.
func (c *cli) logSegments(ctx context.Context, v *meta.Volume) *logSegments {
	if v.LogKeep == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, segmentsTimeout)
	defer cancel()
	a := c.newLogArchive(fixedVolume{v}, nil)
	s := &logSegments{Keep: v.LogKeep.String()}
	archive, err := a.open(ctx)
	if err == nil {
		s.Summary, err = archive.Summary(ctx)
	}
	if err = errors.Join(err, a.close()); err != nil {
		s.Error = err.Error()
	}
	return s
}

// fixedVolume has the settings that it was made of.
type fixedVolume struct{ v *meta.Volume }

// Volume returns them.
func (f fixedVolume) Volume(context.Context) (meta.Volume, error) { return *f.v, nil }
