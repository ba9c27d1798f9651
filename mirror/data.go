package mirror

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"mirrorfs/meta"
	"mirrorfs/mirror/replicate"
	"mirrorfs/object"
)

// DataSite is a site's metadata as the carrying of data uses it.
type DataSite interface {
	replicate.Site
	meta.Claims
	Volume(ctx context.Context) (meta.Volume, error)
}

// DataConfig says how data is carried between buckets. Site, Open and Objects are needed.
type DataConfig struct {
	// Site is this site's metadata, whose log is followed.
	Site DataSite
	// Open opens a site's bucket. It is closed here.
	Open func(ctx context.Context, s meta.Site) (object.Store, error)
	// Objects tells what a slice is stored as, in blocks of a size.
	Objects func(s meta.Slice, blockBytes int) []replicate.Object
	// Check finds wrong bytes of a block; nil takes all.
	Check func(key string, data []byte) error
	// Limit bounds the bytes fetched; nil is Info.Bandwidth.
	Limit *rate.Limiter
	// Jobs is how many blocks are copied at a time; default 16.
	Jobs int
	// Interval is how often the settings are looked at, and the state is kept; default
	// 1 s. RetryInterval is after which a block that could not be copied is tried again;
	// default 5 s.
	Interval, RetryInterval time.Duration
	// ClaimTTL is after which silence of the runner that copies another one does;
	// default 8 s.
	ClaimTTL time.Duration
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

func (c *DataConfig) setDefaults() error {
	if c.Site == nil || c.Open == nil || c.Objects == nil {
		return errors.New("mirror data: Site, Open and Objects are needed")
	}
	orDefault(&c.Interval, time.Second)
	orDefault(&c.RetryInterval, 5*time.Second)
	orDefault(&c.ClaimTTL, 8*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// lane is one direction in which blocks are copied: into a site's bucket all that has its
// home elsewhere, or back from it into the source's bucket all that has its home there.
type lane struct {
	Site    uint8
	Back    bool
	Subtree string
}

// factIn and factBack name the facts that keep how far the lanes of a site are.
func factIn(site uint8) string   { return fmt.Sprintf("data.%d.in", site) }
func factBack(site uint8) string { return fmt.Sprintf("data.%d.back", site) }

func (l *lane) fact() string {
	if l.Back {
		return factBack(l.Site)
	}
	return factIn(l.Site)
}

// dataPlan is what is to be copied. When it changes, copying begins anew with the new one.
type dataPlan struct {
	Lanes     []lane
	Sites     map[uint8]meta.Site
	Origins   map[uint8]meta.Site // of the volume that this one was restored from
	Source    uint8
	Feeder    uint8 // the site whose bucket is read first; 0 is none
	Block     int   // bytes
	Bandwidth int64
}

func (p *dataPlan) String() string {
	text, _ := json.Marshal(p) // of plain values
	return string(text)
}

// carrier copies data for the sites of one metadata server.
type carrier struct {
	cfg     DataConfig
	plan    func(ctx context.Context) (dataPlan, error)
	owner   string
	metrics map[string]*replicate.Metrics
}

func newCarrier(cfg DataConfig, plan func(context.Context) (dataPlan, error)) (*carrier, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	return &carrier{cfg: cfg, plan: plan, owner: rand.Text(), metrics: map[string]*replicate.Metrics{}}, nil
}

// run copies until ctx ends.
func (c *carrier) run(ctx context.Context) error {
	for {
		p, err := c.plan(ctx)
		if err == nil && len(p.Lanes) > 0 && c.claim(ctx) {
			err = c.carry(ctx, &p)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.cfg.Logger.WarnContext(ctx, "data is not copied", slog.Any("error", err))
			c.tell(ctx, p.Lanes, err)
		}
		if err := pause(ctx, c.cfg.Interval); err != nil {
			return err
		}
	}
}

// dataClaim is the name of who copies: one runner does for all.
const dataClaim = "replicator"

func (c *carrier) claim(ctx context.Context) bool {
	has, err := c.cfg.Site.Claim(ctx, dataClaim, c.owner, c.cfg.ClaimTTL)
	return has && err == nil
}

// tell notes what is in the way of copying at all.
func (c *carrier) tell(ctx context.Context, lanes []lane, reason error) {
	local, err := c.cfg.Site.Local(ctx)
	if err != nil {
		return
	}
	for i := range lanes {
		s, _, _ := replicate.StateOf(local, lanes[i].fact())
		s.Reason = reason.Error()
		text, err := json.Marshal(s)
		if err == nil {
			err = c.cfg.Site.SetLocal(ctx, map[string]string{lanes[i].fact(): string(text)})
		}
		if err != nil {
			c.cfg.Logger.DebugContext(ctx, "the reason was not kept", slog.Any("error", err))
		}
	}
}

// carry copies until the plan changes, another runner does it, or ctx ends.
func (c *carrier) carry(ctx context.Context, p *dataPlan) (err error) {
	buckets, err := c.open(ctx, p)
	defer func() {
		for _, b := range buckets {
			err = errors.Join(err, b.Close())
		}
	}()
	if err != nil {
		return err
	}
	limit := c.cfg.Limit
	if limit == nil && p.Bandwidth > 0 {
		limit = rate.NewLimiter(rate.Limit(p.Bandwidth), replicate.FetchBytes)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	for i := range p.Lanes {
		r, err := c.replicator(p, &p.Lanes[i], buckets, limit)
		if err != nil {
			return err
		}
		g.Go(func() error { return r.Run(running) })
	}
	c.cfg.Logger.InfoContext(ctx, "data is copied", slog.Int("lanes", len(p.Lanes)))
	c.watch(running, p)
	stop()
	err = g.Wait()
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return errors.Join(err, c.cfg.Site.Unclaim(release, dataClaim, c.owner))
}

// watch returns when copying is to end.
func (c *carrier) watch(ctx context.Context, p *dataPlan) {
	last := time.Now()
	for pause(ctx, c.cfg.Interval) == nil {
		if now, err := c.plan(ctx); err == nil && now.String() != p.String() {
			c.cfg.Logger.InfoContext(ctx, "what data is to be copied has changed")
			return
		}
		has, err := c.cfg.Site.Claim(ctx, dataClaim, c.owner, c.cfg.ClaimTTL)
		if err == nil && has {
			last = time.Now()
		}
		if err == nil && !has || time.Since(last) > c.cfg.ClaimTTL {
			c.cfg.Logger.InfoContext(ctx, "another runner copies the data")
			return
		}
	}
}

// open opens the buckets of all sites that have one.
func (c *carrier) open(ctx context.Context, p *dataPlan) (map[uint8]object.Store, error) {
	buckets := map[uint8]object.Store{}
	for _, id := range slices.Sorted(maps.Keys(p.Sites)) {
		site := p.Sites[id]
		if site.Bucket == "" {
			continue
		}
		s, err := c.cfg.Open(ctx, site)
		if err != nil {
			return buckets, fmt.Errorf("bucket of site %s: %w", site.Name, err)
		}
		buckets[id] = s
	}
	for id, site := range p.Origins {
		s, err := c.cfg.Open(ctx, site)
		if err != nil {
			return buckets, fmt.Errorf("bucket of site %s, from which this volume was restored: %w", site.Name, err)
		}
		buckets[id] = NewOriginStore(s, func(home uint8) bool { return p.Origins[home].Bucket != "" })
	}
	return buckets, nil
}

// replicator makes what copies in one lane.
func (c *carrier) replicator(p *dataPlan, l *lane, buckets map[uint8]object.Store, limit *rate.Limiter) (*replicate.Replicator, error) {
	opts := replicate.Options{
		Name: l.fact(), Site: c.cfg.Site, Check: c.cfg.Check, Limit: limit, Jobs: c.cfg.Jobs, Subtree: l.Subtree,
		Objects:      func(s meta.Slice) []replicate.Object { return c.cfg.Objects(s, p.Block) },
		TailWait:     c.cfg.Interval,
		SaveInterval: c.cfg.Interval, RetryInterval: c.cfg.RetryInterval, Logger: c.cfg.Logger,
	}
	if l.Back {
		opts.From, opts.To = buckets[l.Site], buckets[p.Source]
		opts.Wants = func(s meta.Slice) bool { return s.Home == l.Site }
	} else {
		others := maps.Clone(buckets)
		delete(others, l.Site)
		from, err := NewStore(StoreOptions{Homes: others, Source: p.Source, Feeder: p.Feeder}) // who copies tells what is missing
		if err != nil {
			return nil, err
		}
		opts.From, opts.To = from, buckets[l.Site]
		opts.Wants = func(s meta.Slice) bool { return s.Home != l.Site }
	}
	if c.metrics[l.fact()] == nil {
		m, err := replicate.NewMetrics(c.cfg.Metrics, l.fact())
		if err != nil {
			return nil, err
		}
		c.metrics[l.fact()] = m
	}
	opts.Metrics = c.metrics[l.fact()]
	return replicate.New(opts)
}

// lanesOf gives the lanes of a site with a bucket of its own.
func lanesOf(info *Info, sites map[uint8]meta.Site, local map[string]string) []lane {
	own, source := sites[info.Site], sites[info.SourceSite]
	if own.Bucket == "" || source.Bucket == "" || info.Removed {
		return nil
	}
	var lanes []lane
	if info.Mode == ModeFull {
		lanes = append(lanes, lane{Site: info.Site, Subtree: info.Subtree})
	}
	// A mount goes on in the data mode that it was started in.
	if info.Mode == ModeFull || local[factBack(info.Site)] != "" {
		lanes = append(lanes, lane{Site: info.Site, Back: true})
	}
	return lanes
}

// dataPlan is what this site's runner copies.
func (r *runner) dataPlan(ctx context.Context) (dataPlan, error) {
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil {
		return dataPlan{}, err
	}
	info, err := infoFrom(local)
	if err != nil {
		return dataPlan{}, err
	}
	v, err := r.cfg.Data.Site.Volume(ctx)
	if errors.Is(err, meta.ErrNoVolume) {
		return dataPlan{}, nil // nothing is here yet
	}
	if err != nil {
		return dataPlan{}, err
	}
	return dataPlan{
		Lanes: lanesOf(&info, v.Sites, local), Sites: v.Sites, Origins: v.Origins, Source: info.SourceSite, Feeder: info.FeedSite,
		Block: v.BlockBytes, Bandwidth: info.Bandwidth,
	}, nil
}

// carryData copies data until ctx ends.
func (r *runner) carryData(ctx context.Context) error { return r.carrier.run(ctx) }

// showFacts takes over how far the copying of data is, and what was verified, whoever did it.
func (r *runner) showFacts(ctx context.Context) error {
	for {
		if local, err := r.cfg.Replica.Local(ctx); err == nil {
			info, err := infoFrom(local)
			verified, worse := verifiedFrom(local)
			if err == nil && worse == nil {
				r.progress.facts(dataStatus(&info, local, meta.Position{}), verified)
			}
		}
		if err := pause(ctx, r.cfg.ReportInterval); err != nil {
			return err
		}
	}
}

// dataStatus tells how much of the data is at a mirror that has applied so much.
func dataStatus(info *Info, local map[string]string, applied meta.Position) DataStatus {
	st := DataStatus{Mode: info.Mode, Subtree: info.Subtree, CompleteTo: applied}
	if info.Mode == ModeFull {
		in, _, err := replicate.StateOf(local, factIn(info.Site))
		if err == nil && in.Subtree == info.Subtree {
			st.CompleteTo, st.PendingObjects, st.PendingBytes, st.Reason = in.Position, in.PendingObjects, in.PendingBytes, in.Reason
		} else {
			st.CompleteTo = meta.Position{}
		}
	}
	if back, ok, err := replicate.StateOf(local, factBack(info.Site)); ok && err == nil {
		st.BackTo, st.BackObjects, st.BackBytes = back.Position, back.PendingObjects, back.PendingBytes
		if st.Reason == "" {
			st.Reason = back.Reason
		}
	}
	return st
}

// keptForData is how much of this site's log the copying still needs. What is applied
// before the log is trimmed is not in it: if that is more than Config.KeepRecords, the copying
// finds a gap, and looks at all rows again.
func (r *runner) keptForData(ctx context.Context) int {
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil {
		return maxKept
	}
	state, err := r.cfg.Replica.State(ctx)
	if err != nil {
		return maxKept
	}
	keep, applied := uint64(0), state.Position.Seq
	for _, fact := range []string{factIn(r.info.Site), factBack(r.info.Site)} {
		if s, ok, err := replicate.StateOf(local, fact); ok && err == nil && s.Position.Seq < applied {
			keep = max(keep, applied-s.Position.Seq)
		}
	}
	return int(min(keep, maxKept))
}

// maxKept is more records than any log has.
const maxKept = 1 << 40
