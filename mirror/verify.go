package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mirrorfs/meta"
	"mirrorfs/mirror/compare"
)

// VerifyOptions say how to verify. The zero value works.
type VerifyOptions struct {
	// Rate bounds how many rows a second are compared; 0 is no limit.
	Rate int
	// Resume goes on where a verification of this site was interrupted.
	Resume bool
	// Most is how many differences are listed, the rest is counted; default 1,000.
	Most int
	// PageRows is how many rows are compared in one step; default 2,000.
	PageRows int
	// Patience is how long the mirror may take to reach a position of the source; default 30 s.
	Patience time.Duration
	// Progress, if not nil, is told how many rows were compared.
	Progress func(rows uint64)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o *VerifyOptions) setDefaults() {
	orDefault(&o.Most, 1000)
	orDefault(&o.PageRows, 2000)
	orDefault(&o.Patience, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(uint64) {}
	}
}

// VerifyReport is what a verification found.
type VerifyReport struct {
	Volume string `json:"volume"`
	Site   string `json:"site"`
	// Position is where both sites stood when the last rows were compared.
	Position meta.Position `json:"position"`
	Rows     uint64        `json:"rows"` // compared
	// Settled counts the ranges whose rows had to be read, because they differed or were changing.
	// Unsettled are those of them that changed too fast to tell.
	Settled   int `json:"settled"`
	Unsettled int `json:"unsettled"`
	// Differences are listed up to a number, More counts the rest.
	Differences []compare.Difference `json:"differences"`
	More        int                  `json:"more_differences"`
	Clean       bool                 `json:"clean"`
	Started     time.Time            `json:"started"`
	Finished    time.Time            `json:"finished,omitzero"`
}

// Count is how many differences there are.
func (r *VerifyReport) Count() int { return len(r.Differences) + r.More }

// Verified is what a site remembers of its last verification that went to the end.
type Verified struct {
	Finished    time.Time     `json:"finished"`
	Position    meta.Position `json:"position"`
	Rows        uint64        `json:"rows"`
	Differences int           `json:"differences"`
}

// verifying is an unfinished verification.
type verifying struct {
	Place  []byte       `json:"place"`
	Report VerifyReport `json:"report"`
}

// Verify compares all rows of a mirror with its source's, at positions that both have had, while both
// change. It writes nothing but, among the facts of the mirror's site, how far it is, and what
// came of it. A difference is no error: see the report.
func Verify(ctx context.Context, source meta.Source, site Site, opts VerifyOptions) (*VerifyReport, error) {
	opts.setDefaults()
	v, err := newVerification(ctx, source, site, &opts)
	if err != nil {
		return nil, err
	}
	for v.at != meta.PlaceEnd && v.broken == nil {
		began := time.Now()
		before := v.report.Rows
		err := v.page(ctx)
		if errors.Is(err, meta.ErrDiverged) {
			v.broken = err
			v.add(compare.Difference{Kind: compare.KindLog, Problem: err.Error() + ": run `mirrorfs mirror repair`"})
		} else if err != nil {
			return v.report, err
		}
		opts.Progress(v.report.Rows)
		if err := v.save(ctx); err != nil {
			return v.report, err
		}
		if opts.Rate > 0 {
			due := time.Duration(float64(v.report.Rows-before) / float64(opts.Rate) * float64(time.Second))
			if err := pause(ctx, due-time.Since(began)); err != nil {
				return v.report, err
			}
		}
	}
	return v.report, v.finish(ctx)
}

// verification is a Verify under way.
type verification struct {
	pair   compare.Pair
	source meta.Source
	site   Site
	opts   *VerifyOptions
	paths  *paths
	at     meta.Place // from where on rows are still to be compared
	broken error      // the logs differ, so there is no position to compare at
	report *VerifyReport
}

func newVerification(ctx context.Context, source meta.Source, site Site, opts *VerifyOptions) (*verification, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return nil, err
	}
	info, err := infoFrom(local)
	if err != nil {
		return nil, err
	}
	vol, err := source.Volume(ctx)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if vol.ID != info.VolumeID {
		return nil, fmt.Errorf("the source's address holds another volume than the one that was mirrored (id %s, want %s)", vol.ID, info.VolumeID)
	}
	v := &verification{
		pair:   compare.Pair{Source: source, Near: site, Patience: opts.Patience},
		source: source, site: site, opts: opts, paths: newPaths(site, source),
		report: &VerifyReport{Volume: vol.Name, Site: info.Name, Started: opts.Now().UTC(), Differences: []compare.Difference{}},
	}
	if text := local[localVerifying]; opts.Resume && text != "" {
		var last verifying
		if err := json.Unmarshal([]byte(text), &last); err != nil {
			return nil, fmt.Errorf("what the last verification left: %w", err)
		}
		v.at, v.report = meta.Place(last.Place), &last.Report
	}
	return v, v.checkHeads(ctx)
}

// checkHeads makes sure that the mirror can be compared: its log is not ahead of its source's.
func (v *verification) checkHeads(ctx context.Context) error {
	here, err := v.site.State(ctx)
	if err != nil {
		return err
	}
	if here.Role == meta.RoleBootstrapping {
		return errors.New("the mirror's copy is not complete: `mirrorfs mirror wait` tells when it is")
	}
	head, err := v.source.State(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if head.Position.Before(here.Position) || head.Position == here.Position && head.Chain != here.Chain {
		v.broken = meta.ErrDiverged
		v.add(compare.Difference{Kind: compare.KindLog, Problem: fmt.Sprintf(
			"the source stands at %s (%s) and the mirror at %s (%s): the source lost the end of its log; see `mirrorfs mirror status`, and run `mirrorfs mirror repair`",
			head.Position, head.Chain, here.Position, here.Chain)})
	}
	return nil
}

// page compares a run of rows.
func (v *verification) page(ctx context.Context) error {
	there, err := v.source.Digest(ctx, v.at, nil, v.opts.PageRows)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if len(there.Parts) == 0 {
		return errors.New("source: an empty answer")
	}
	if _, err := v.pair.Await(ctx, there.State.Position); err != nil {
		return err
	}
	here, err := v.nearDigest(ctx, v.at, there.Parts)
	if err != nil {
		return err
	}
	at, err := v.pair.Advance(ctx, there.State, here.State)
	switch {
	case errors.Is(err, meta.ErrGap):
		return nil // its log was trimmed meanwhile: the same page again
	case err != nil:
		return err
	}
	if d, differ := compare.Counters(at.Counters, here.State.Counters); differ {
		v.addOnce(d)
	}
	v.report.Position = at.Position
	return v.parts(ctx, there.Parts, here.Parts)
}

// nearDigest asks the mirror for the same parts, as far as they can be summed up.
func (v *verification) nearDigest(ctx context.Context, from meta.Place, parts []meta.Part) (meta.Digest, error) {
	var ends []meta.Place
	for i := range parts {
		if parts[i].Sum == "" {
			break
		}
		ends = append(ends, parts[i].End)
	}
	if len(ends) == 0 {
		s, err := v.site.State(ctx)
		return meta.Digest{State: s}, err
	}
	return v.site.Digest(ctx, from, ends, v.opts.PageRows)
}

// parts settles the parts that differ.
func (v *verification) parts(ctx context.Context, there, here []meta.Part) error {
	for i := range there {
		p := &there[i]
		if i >= len(here) && i > 0 && p.Sum != "" {
			return nil // the mirror had more than fits: the next page begins here
		}
		if i >= len(here) || here[i].Sum != p.Sum || p.Sum == "" {
			differences, unsettled, err := v.pair.Settle(ctx, v.at, p.End)
			if err != nil {
				return err
			}
			v.report.Settled++
			if unsettled {
				v.report.Unsettled++
			}
			for _, d := range differences {
				v.add(d)
			}
		}
		v.report.Rows += uint64(p.Rows) //nolint:gosec // a count
		v.at = p.End
	}
	return nil
}

func (v *verification) add(d compare.Difference) {
	if len(v.report.Differences) < v.opts.Most {
		v.report.Differences = append(v.report.Differences, d)
	} else {
		v.report.More++
	}
}

// addOnce adds what does not lie in a range, and would be found with each.
func (v *verification) addOnce(d compare.Difference) {
	for i := range v.report.Differences {
		if v.report.Differences[i].Kind == d.Kind {
			return
		}
	}
	v.add(d)
}

// save notes how far it is.
func (v *verification) save(ctx context.Context) error {
	return setLocal(ctx, v.site, localVerifying, verifying{Place: []byte(v.at), Report: *v.report})
}

// finish tells the paths of what was found, and notes the result.
func (v *verification) finish(ctx context.Context) error {
	r := v.report
	for i := range r.Differences {
		d := &r.Differences[i]
		if d.Path == "" && d.Inode != 0 {
			d.Path = v.paths.of(ctx, d.Inode)
		}
	}
	r.Finished, r.Clean = v.opts.Now().UTC(), r.Count() == 0
	text, err := json.Marshal(Verified{Finished: r.Finished, Position: r.Position, Rows: r.Rows, Differences: r.Count()})
	if err != nil {
		return err
	}
	return v.site.SetLocal(ctx, map[string]string{localVerified: string(text), localVerifying: ""})
}

// LastVerified tells what came of a site's last verification that went to the end; the zero Verified
// when there was none.
func LastVerified(ctx context.Context, site interface {
	Local(context.Context) (map[string]string, error)
},
) (Verified, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return Verified{}, err
	}
	return verifiedFrom(local)
}

func verifiedFrom(local map[string]string) (Verified, error) {
	var v Verified
	if text := local[localVerified]; text != "" {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return v, fmt.Errorf("note of the last verification: %w", err)
		}
	}
	return v, nil
}
