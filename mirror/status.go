package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mirrorfs/meta"
)

// Status is where a site stands, as `mirrorfs mirror status` prints it.
type Status struct {
	Volume string `json:"volume"`
	Role   string `json:"role"` // "source", "mirror", or "near": a site with a bucket and the source's metadata
	Site   string `json:"site"`
	// FedBy is the mirror whose log the site follows; empty when that is the source's.
	FedBy  string `json:"fed_by,omitempty"`
	State  string `json:"state"`
	Reason string `json:"reason"` // empty when all is well
	// Position is where the source stands, as far as is known; Applied, how much of
	// it is here.
	Position meta.Position `json:"position"`
	Applied  meta.Position `json:"applied"`
	// LagRecords counts the records between the two. LagSeconds is the age of the
	// oldest change that is not here; 0 when all is here.
	LagRecords uint64     `json:"lag_records"`
	LagSeconds float64    `json:"lag_seconds"`
	Data       DataStatus `json:"data"`
	// Seen is when the runner was heard of last; of a mirror only.
	Seen *time.Time `json:"seen,omitempty"`
	// Runner is the process that does a mirror's work, or did when it was seen last.
	Runner *Runner `json:"runner,omitempty"`
	// Verified is what the last verification found; of a mirror, and nil when there was none.
	Verified *Verified `json:"verified,omitempty"`
	// Mirrors is how the source sees its mirrors; at the source only.
	Mirrors []Status `json:"mirrors,omitempty"`
}

// DataStatus is how much of the data a site holds. Only a mirror in ModeFull promises
// any, so of others nothing is ever pending.
type DataStatus struct {
	Mode    string `json:"mode"`
	Subtree string `json:"subtree,omitempty"`
	// CompleteTo is the position up to which all data is here, or all of the subtree; zero
	// while the first copy of it goes on. Of a mirror in another mode, up to which it
	// can be read.
	CompleteTo     meta.Position `json:"complete_to"`
	PendingObjects uint64        `json:"pending_objects"`
	PendingBytes   uint64        `json:"pending_bytes"`
	// BackTo is the position up to which all that was written here is in the source's
	// bucket, and what is known to be missing there.
	BackTo      meta.Position `json:"copied_back_to,omitzero"`
	BackObjects uint64        `json:"back_objects,omitempty"`
	BackBytes   uint64        `json:"back_bytes,omitempty"`
	// Reason says what is in the way of copying; empty when nothing is.
	Reason string `json:"reason,omitempty"`
}

// StatusOptions says how to ask.
type StatusOptions struct {
	// Dial opens the source when the site is a mirror's. When it is nil or fails
	// within Timeout, the status is what the runner left behind.
	Dial func(ctx context.Context, info Info) (Upstream, error)
	// Timeout bounds what is asked of the source; default 3 s.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// silence is after which a runner is taken for not running.
const silence = 30 * time.Second

// GetStatus tells where a site stands. It works at the source and at a mirror.
func GetStatus(ctx context.Context, site Site, opts StatusOptions) (Status, error) {
	orDefault(&opts.Timeout, 3*time.Second)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	v, err := site.Volume(ctx)
	if err != nil {
		return Status{}, err
	}
	s, err := site.State(ctx)
	if err != nil {
		return Status{}, err
	}
	if s.Role == meta.RoleSource || s.Role == meta.RoleFenced {
		return sourceStatus(ctx, site, &v, s, opts.Now())
	}
	return mirrorStatus(ctx, site, &v, s, &opts)
}

func sourceStatus(ctx context.Context, site Site, v *meta.Volume, s meta.State, now time.Time) (Status, error) {
	own := ownSite(ctx, site, v)
	st := Status{
		Volume: v.Name, Role: "source", Site: v.Sites[own].Name, State: StateFollowing,
		Position: s.Position, Applied: s.Position,
		Data: DataStatus{Mode: ModeFull, CompleteTo: s.Position},
	}
	if s.Role == meta.RoleFenced {
		st.State, st.Reason = StateFenced, "another site was promoted: this one takes no changes"
		if _, f, err := FenceOf(ctx, site); err == nil && f.Name != "" {
			st.Reason = f.String() + ": it takes no changes"
		}
	}
	acknowledged, err := site.Mirrors(ctx)
	if err != nil {
		return Status{}, err
	}
	local, err := site.Local(ctx)
	if err != nil {
		return Status{}, err
	}
	for _, number := range sortedSites(v) {
		near := v.Sites[number]
		if near.Shares {
			st.Mirrors = append(st.Mirrors, nearStatus(v, &near, st.Position, local))
		}
		if number == own || near.Shares {
			continue
		}
		st.Mirrors = append(st.Mirrors, seenMirror(ctx, site, v, number, acknowledged, s.Position, now))
	}
	return st, nil
}

func sortedSites(v *meta.Volume) []uint8 {
	var numbers []uint8
	for n := range v.Sites {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// seenMirror is a mirror as the source sees it.
func seenMirror(ctx context.Context, source meta.Source, v *meta.Volume, number uint8, acknowledged []meta.MirrorState, head meta.Position, now time.Time) Status {
	st := Status{
		Volume: v.Name, Role: "mirror", Site: v.Sites[number].Name, State: StateBootstrapping,
		Reason: "no runner was seen yet: start it with `mirrorfs mirror run`", Position: head,
		FedBy: v.Sites[v.Sites[number].Feed].Name,
	}
	if v.Sites[number].Detached {
		st.State, st.Reason = StateFenced, "it was the source before, and takes no part: `mirrorfs mirror rejoin` makes it a mirror"
		return st
	}
	for _, m := range acknowledged {
		if m.Site != number {
			continue
		}
		st.State, st.Reason, st.Applied, st.Data.Mode = m.State, m.Reason, m.Applied, m.Mode
		st.Data.CompleteTo, st.Seen = m.Applied, &m.Seen
		if m.PID != 0 {
			st.Runner = &Runner{Host: m.Host, PID: m.PID}
		}
		if m.Mode == ModeFull {
			st.Data.CompleteTo, st.Data.PendingObjects, st.Data.PendingBytes = m.CompleteTo, m.PendingObjects, m.PendingBytes
		}
		if now.Sub(m.Seen) > silence {
			st.Reason = silent("its runner", m.Seen, m.Reason)
		}
	}
	st.setLag(ctx, source, now)
	return st
}

// setLag fills in how far Applied is behind Position, from the source's log.
func (st *Status) setLag(ctx context.Context, source meta.Source, now time.Time) {
	if !st.Applied.Before(st.Position) {
		return
	}
	if st.Applied.Seq < st.Position.Seq {
		st.LagRecords = st.Position.Seq - st.Applied.Seq
	}
	next, err := source.Tail(ctx, st.Applied, 1, 0)
	if errors.Is(err, meta.ErrGap) { // it left the log: the lag is more than the age of the oldest there
		var first meta.LogEntry
		first, err = source.LogStart(ctx)
		next = []meta.LogEntry{first}
	}
	if err != nil || len(next) == 0 {
		return
	}
	if rec, err := meta.DecodeRecord(next[0].Raw); err == nil {
		st.LagSeconds = max(now.Sub(time.Unix(0, rec.Time)).Seconds(), 0)
	}
}

func silent(who string, since time.Time, reason string) string {
	text := fmt.Sprintf("%s was not heard of since %s", who, since.UTC().Format(time.RFC3339))
	if reason != "" {
		text += "; then: " + reason
	}
	return text
}

func mirrorStatus(ctx context.Context, site Site, v *meta.Volume, s meta.State, opts *StatusOptions) (Status, error) {
	local, err := site.Local(ctx)
	if err != nil {
		return Status{}, err
	}
	info, err := infoFrom(local)
	if err != nil {
		return Status{}, err
	}
	n, err := noteFrom(local)
	if err != nil {
		return Status{}, err
	}
	now := opts.Now()
	st := Status{
		Volume: v.Name, Role: "mirror", Site: info.Name, State: n.State, Reason: n.Reason, FedBy: v.Sites[info.FeedSite].Name,
		Applied: s.Position, Data: dataStatus(&info, local, s.Position),
	}
	switch {
	case info.Removed:
		st.State, st.Reason = StateStalled, ErrRemoved.Error()
	case n.Seen.IsZero():
		st.State, st.Reason = StateBootstrapping, "no runner was seen yet: start it with `mirrorfs mirror run`"
	default:
		st.Seen = &n.Seen
		if n.Runner.PID != 0 {
			st.Runner = &n.Runner
		}
		if now.Sub(n.Seen) > silence {
			st.Reason = silent("the runner", n.Seen, n.Reason)
		}
	}
	if s.Role == meta.RoleMirror && st.State == StateBootstrapping {
		st.State = StateFollowing // since the note was written
	}
	verified, err := verifiedFrom(local)
	if err != nil {
		return Status{}, err
	}
	if !verified.Finished.IsZero() {
		st.Verified = &verified
	}
	n.Applied = s.Position
	if err := st.askSource(ctx, opts, info, now); err != nil {
		if n.LinkDown.IsZero() {
			n.LinkDown = n.Seen
		}
		var age time.Duration
		st.LagRecords, age = n.lag(now)
		st.LagSeconds = age.Seconds()
		st.Position = later(n.Head, s.Position)
		if st.Reason == "" {
			st.Reason = "the source does not answer: " + err.Error()
		}
	}
	if st.Reason == "" {
		st.Reason = st.Data.Reason
	}
	return st, nil
}

// askSource fills in what only the source knows.
func (st *Status) askSource(ctx context.Context, opts *StatusOptions, info Info, now time.Time) error {
	if opts.Dial == nil {
		return errors.New("not asked")
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	src, err := opts.Dial(ctx, info)
	if err != nil {
		return err
	}
	head, err := src.State(ctx)
	if err == nil {
		st.Position = later(head.Position, st.Applied)
		st.setLag(ctx, src, now)
	}
	return errors.Join(err, src.Close())
}

func noteFrom(local map[string]string) (note, error) {
	var n note
	text := local[localRunner]
	if text == "" {
		return n, nil
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return n, fmt.Errorf("note of this mirror's runner: %w", err)
	}
	return n, nil
}
