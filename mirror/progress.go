package mirror

import (
	"sync"
	"time"

	"mirrorfs/meta"
)

// The states of a mirror.
const (
	StateBootstrapping = "bootstrapping" // its first copy is under way
	StateFollowing     = "following"     // it applies the source's log as it grows
	StateStalled       = "stalled"       // it must not go on; the reason says why and what to do
	StateFenced        = "fenced"        // its source was replaced by another site
	StateSource        = "source"        // it is the source itself, and its runner waits
)

// note is what a runner leaves at its site for status.
type note struct {
	State   string        `json:"state"`
	Reason  string        `json:"reason,omitempty"`
	Applied meta.Position `json:"applied"`
	// Head is where the source was seen last.
	Head meta.Position `json:"head"`
	// AppliedTime is when the last applied change was made, by its client's clock.
	AppliedTime time.Time `json:"applied_time,omitzero"`
	// Fresh is a time at which the source had nothing that is not here.
	Fresh    time.Time `json:"fresh,omitzero"`
	LinkDown time.Time `json:"link_down_since,omitzero"`
	Seen     time.Time `json:"seen"` // when the runner wrote this
	Runner   Runner    `json:"runner,omitzero"`
	// Holder is who has the lease, or had it last.
	Holder holder `json:"holder,omitzero"`

	// What has facts of its own, and what is for metrics only.
	data      DataStatus
	verified  Verified
	meanBytes float64 // of a record
}

// lag tells how far behind the mirror is: records, and how old the oldest change
// that is not here is at most.
func (n *note) lag(now time.Time) (records uint64, age time.Duration) {
	if n.Applied.Seq < n.Head.Seq {
		records = n.Head.Seq - n.Applied.Seq
	}
	known := n.Fresh
	if n.AppliedTime.After(known) {
		known = n.AppliedTime
	}
	if known.IsZero() {
		known = n.LinkDown
	}
	if known.IsZero() || records == 0 && n.LinkDown.IsZero() {
		return records, 0
	}
	return records, max(now.Sub(known), 0)
}

// progress is where a runner is.
type progress struct {
	now func() time.Time

	mu      sync.Mutex
	note    note
	role    meta.Role
	records int // applied since the start
	bytes   int
	// head is where the source stood when it was asked at a time; zero once that is here.
	head    meta.Position
	asked   time.Time
	working bool // this runner does the work
}

// typicalRecordBytes is how large records are taken to be before any was seen.
const typicalRecordBytes = 200

// newProgress goes on from what the last runner left: a mirror that was stalled
// stays so until it has been seen to follow.
func newProgress(now func() time.Time, last note) *progress {
	p := &progress{now: now, note: note{meanBytes: typicalRecordBytes}}
	p.goOn(last)
	return p
}

// goOn is newProgress for a runner that takes over from another one.
func (p *progress) goOn(last note) {
	last.LinkDown = time.Time{}
	if last.State != StateStalled && last.State != StateFenced {
		last.State, last.Reason = StateBootstrapping, ""
	}
	p.watching(last)
}

// watching takes over what the runner at work has noted.
func (p *progress) watching(n note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.data, n.verified, n.meanBytes = p.note.data, p.note.verified, p.note.meanBytes
	p.note = n
}

// leads notes which runner is at work, if this one is.
func (p *progress) leads(who Runner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.Runner, p.working = who, who != Runner{}
}

// holds notes as whom this runner has the lease.
func (p *progress) holds(h holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.Holder = h
}

// works tells whether this runner does the work.
func (p *progress) works() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.working
}

// stands notes the state of this site.
func (p *progress) stands(s meta.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.Applied, p.role = s.Position, s.Role
	p.reached()
	if p.note.State == StateBootstrapping && s.Role == meta.RoleMirror {
		p.note.State, p.note.Reason = StateFollowing, ""
	}
}

// applying notes the time of a change that is being applied.
func (p *progress) applying(ns int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.AppliedTime = time.Unix(0, ns).UTC()
}

// following notes that a part of the log was applied, and nothing is in the way.
func (p *progress) following(s meta.State, f fetched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &p.note
	n.Applied, p.role, n.LinkDown = s.Position, s.Role, time.Time{}
	if f.drained {
		n.Fresh = f.sent
	}
	p.reached()
	if n.Head.Before(n.Applied) || f.drained && n.Applied.Before(n.Head) && len(f.records) == 0 {
		n.Head = n.Applied
	}
	if s.Role == meta.RoleBootstrapping {
		n.State, n.Reason = StateBootstrapping, "replaying what changed during the copy"
	} else {
		n.State, n.Reason = StateFollowing, ""
	}
}

// sawHead notes where the source stood when it was asked at a time.
func (p *progress) sawHead(asked time.Time, at meta.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.Head, p.head, p.asked = later(at, p.note.Applied), at, asked
	p.reached()
}

// reached notes, once all that the source had when it was asked is here, that it is.
func (p *progress) reached() {
	if !p.head.IsZero() && !p.note.Applied.Before(p.head) {
		if p.asked.After(p.note.Fresh) {
			p.note.Fresh = p.asked
		}
		p.head = meta.Position{}
	}
}

// copying notes how far the first copy is.
func (p *progress) copying(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.State, p.note.Reason = StateBootstrapping, reason
}

// stop notes that the mirror must not go on, and whether that is new.
func (p *progress) stop(state, reason string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.role == meta.RoleBootstrapping && state == StateStalled {
		state, reason = StateBootstrapping, "the copy begins anew: "+reason
	}
	changed := p.note.State != state || p.note.Reason != reason
	p.note.State, p.note.Reason = state, reason
	return changed
}

// trouble notes a reason without a change of state.
func (p *progress) trouble(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.Reason = reason
}

// linkLost notes that the source does not answer. The state stays.
func (p *progress) linkLost(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note.LinkDown.IsZero() {
		p.note.LinkDown = p.now()
	}
	if p.note.State != StateStalled && p.note.State != StateFenced {
		p.note.Reason = "link down since " + p.note.LinkDown.UTC().Format(time.RFC3339) + ": " + err.Error()
	}
}

// linkUp notes that the source answers again.
func (p *progress) linkUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.LinkDown = time.Time{}
}

// facts notes how far the copying of data is, and what the last verification found.
func (p *progress) facts(d DataStatus, v Verified) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note.data, p.note.verified = d, v
}

// tally notes the size of records that were applied.
func (p *progress) tally(records, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records += records
	p.bytes += bytes
	p.note.meanBytes = float64(p.bytes) / float64(p.records)
}

// snapshot is where the runner is now.
func (p *progress) snapshot() note {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.note
	n.Seen = p.now().UTC()
	return n
}
