package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror/compare"
)

// RepairOptions say how to repair. The zero value works.
type RepairOptions struct {
	// DryRun only compares.
	DryRun bool
	// Most is how many differences are listed by a dry run; default 1,000.
	Most int
	// Progress, if not nil, is told how far the repair is.
	Progress func(text string)
}

// RepairReport is what a repair did or, as a dry run, would have done.
type RepairReport struct {
	Volume string `json:"volume"`
	Site   string `json:"site"`
	DryRun bool   `json:"dry_run"`
	// Before and Position are where the mirror stood and stands.
	Before   meta.Position `json:"before"`
	Position meta.Position `json:"position"`
	Repaired
	// Differences are what a dry run found, up to a number; rows that changed while they were
	// compared may be among them.
	Differences []compare.Difference `json:"differences,omitempty"`
	More        int                  `json:"more_differences,omitempty"`
	Seconds     float64              `json:"seconds"`
}

var errFirstCopy = errors.New("the first copy of this mirror is not complete: `mirrorfs mirror run` completes it, and there is nothing to repair")

// repairStep is how often a repair looks whether it is done.
const repairStep = 20 * time.Millisecond

// Repair makes a mirror that has stalled, or whose rows differ, what its source is, by comparing sums of
// ranges and copying what differs, while the source changes. Until it is done the site is like one whose
// first copy is under way: its clients read at the source. It can be interrupted: calling it
// again, or any runner of the mirror, goes on where it was. Runners may be running.
func Repair(ctx context.Context, cfg Config, opts RepairOptions) (*RepairReport, error) {
	began := time.Now()
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	orDefault(&opts.Most, 1000)
	r, err := newRunner(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if r.metrics, err = newRunnerMetrics(nil, r.progress); err != nil {
		return nil, err
	}
	report := &RepairReport{Site: r.info.Name, DryRun: opts.DryRun}
	if err := r.beginRepair(ctx, &opts, report); err != nil {
		return report, err
	}
	if !opts.DryRun {
		if err := r.finishRepair(ctx, &opts); err != nil {
			return report, err
		}
		c, err := r.readClaim(ctx)
		if err != nil {
			return report, err
		}
		report.Repaired = c.Mending.Repaired
	}
	here, err := cfg.Replica.State(ctx)
	report.Position, report.Seconds = here.Position, time.Since(began).Seconds()
	return report, err
}

// beginRepair makes the site one that is being repaired, unless it is already, or as a dry run
// compares.
func (r *runner) beginRepair(ctx context.Context, opts *RepairOptions, report *RepairReport) (err error) {
	dialCtx, cancel := context.WithTimeout(ctx, r.cfg.DialTimeout)
	src, err := r.cfg.Dial(dialCtx)
	cancel()
	if err != nil {
		return atSource(err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	v, err := r.checkVolume(ctx, src)
	if err != nil {
		return err
	}
	here, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return err
	}
	report.Volume, report.Before = v.Name, here.Position
	switch here.Role {
	case meta.RoleMirror:
		if opts.DryRun {
			return r.dryRun(ctx, src, opts, report)
		}
		mine := claim{Owner: rand.Uint64(), Mending: mending{On: true}}
		if err := r.writeClaim(ctx, &mine); err != nil {
			return err
		}
		if err := r.rebase(ctx, src, &mine); err != nil {
			return err
		}
		mine.Owner = 0 // for the first runner who looks
		return r.writeClaim(ctx, &mine)
	case meta.RoleBootstrapping:
		c, err := r.readClaim(ctx)
		if err == nil && (!c.Mending.On || opts.DryRun) {
			err = errFirstCopy
			if c.Mending.On {
				err = errors.New("a repair of this mirror is under way: without --dry-run it is gone on with")
			}
		}
		return err
	default:
		return errIsSource
	}
}

// finishRepair runs the mirror until its rows are exact.
func (r *runner) finishRepair(ctx context.Context, opts *RepairOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { done <- Run(ctx, r.cfg) })
	defer running.Wait()
	defer cancel()
	tick := time.NewTicker(repairStep)
	defer tick.Stop()
	for {
		s, err := r.cfg.Replica.State(ctx)
		if err == nil && s.Role != meta.RoleBootstrapping {
			return nil
		}
		if c, err := r.readClaim(ctx); err == nil && opts.Progress != nil {
			opts.Progress(fmt.Sprintf("%d rows compared, %d copied, %d removed", c.Mending.Compared, c.Mending.Copied, c.Mending.Removed))
		}
		select {
		case <-tick.C:
		case err := <-done:
			if err == nil {
				err = ctx.Err()
			}
			return err
		}
	}
}

// readOnly is a replica that a dry run leaves as it is.
type readOnly struct{ meta.Replica }

// Load writes nothing.
func (readOnly) Load(context.Context, []byte) error { return nil }

func (r *runner) dryRun(ctx context.Context, src Upstream, opts *RepairOptions, report *RepairReport) error {
	paths := newPaths(r.cfg.Replica, src)
	r.cfg.Replica = readOnly{r.cfg.Replica}
	r.found = func(all []compare.Difference) {
		for _, d := range all {
			if len(report.Differences) == opts.Most {
				report.More++
				continue
			}
			if d.Inode != 0 {
				d.Path = paths.of(ctx, d.Inode)
			}
			report.Differences = append(report.Differences, d)
		}
	}
	for at := meta.PlaceStart; at != meta.PlaceEnd; {
		end, err := r.mendPage(ctx, src, at, &report.Repaired)
		if err != nil {
			return err
		}
		at = end
		if opts.Progress != nil {
			opts.Progress(fmt.Sprintf("%d rows compared, %d differ", report.Compared, report.Copied+report.Removed))
		}
	}
	return nil
}
