package mirror

import (
	"sync"

	"mirrorfs/meta"
)

// key names what a floor is about: an inode (name empty), or an entry of the
// directory ino, or its entries in general.
type key struct {
	ino  meta.Ino
	name string
}

// Names that no entry can have.
const (
	// listing has the highest floor of any entry: a listing must have reached it.
	listing = "/"
	// anyName has the floor of a listing that was read at the source, which showed
	// what is not there too: a lookup of any name must have reached it.
	anyName = "//"
)

func inodeKey(ino meta.Ino) key              { return key{ino: ino} }
func entryKey(dir meta.Ino, name string) key { return key{ino: dir, name: name} }

func (k key) isEntry() bool { return k.name != "" && k.name[0] != '/' }

func later(p, q meta.Position) meta.Position {
	if p.Before(q) {
		return q
	}
	return p
}

// content is what is known of a key at the position of its floor.
type content struct {
	attr   *meta.Attr // of an inode
	target string     // of a symbolic link, empty when not known
	child  meta.Ino   // of an entry
	gone   bool       // there is no such inode or entry
}

func (c content) known() bool { return c.attr != nil || c.child != 0 || c.gone }

// floor says how recent an answer about a key must be.
type floor struct {
	at   meta.Position
	what content
	// ask: a change failed at the source because of what is there, so what is
	// here may be old, but from which position on is not known. The next read
	// asks the source.
	ask bool
}

// floors remembers what this engine's callers have seen of the source that may
// not be here yet: per inode and per entry the position that answers must have
// reached, and what is there when that is known. A floor is gone once this
// site has applied past it. So the table is empty while nothing is forwarded.
//
// When it is full, the floors that it cannot hold are replaced by one for
// everything, which costs waiting, never correctness.
type floors struct {
	max int // entries

	mu      sync.Mutex
	applied meta.Position // highest position seen here
	byKey   map[key]floor
	queue   []queued      // keys in the order in which they got a floor
	all     meta.Position // floor of everything
	reading []*reading    // reads under way, in the order in which they began
	top     meta.Position // highest floor ever given
	asks    int           // how many of byKey have ask set
}

type queued struct {
	at meta.Position
	k  key
}

func newFloors(maxEntries int) *floors {
	return &floors{max: maxEntries, byKey: map[key]floor{}}
}

// need gives what an answer about all keys must have reached; at least what was
// seen here before, so that a mirror that lost its tail is noticed too.
func (t *floors) need(keys ...key) (at meta.Position, ask bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = later(t.applied, t.all)
	if len(t.byKey) == 0 {
		return at, false
	}
	for _, k := range keys {
		f := t.byKey[k]
		at = later(at, f.at)
		ask = ask || f.ask
	}
	return at, ask
}

// needAll is need for everything that has a floor.
func (t *floors) needAll() (at meta.Position, ask bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return later(t.applied, t.top), t.asks > 0
}

// reachedHere reports whether no answer can be before a position any more.
func (t *floors) reachedHere(at meta.Position) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !later(t.applied, t.all).Before(at)
}

// above gives the floor of a key if that is above the position of an answer.
func (t *floors) above(at meta.Position, k key) (floor, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.byKey[k]
	return f, ok && at.Before(f.at)
}

// get gives the floor of a key unless it is reached here.
func (t *floors) get(k key) (floor, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.byKey[k]
	return f, ok && t.applied.Before(f.at)
}

// observe notes that this site has reached a position.
func (t *floors) observe(at meta.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.applied.Before(at) {
		return
	}
	t.applied = at
	t.drop()
}

// reading is a read under way whose answer will tell of more keys than it was asked
// for: the child of a name, the entries of a directory. Their floors are checked when
// it is there, so those that this site reaches meanwhile must not be dropped before.
type reading struct {
	from meta.Position // what this site had reached when it began
	done bool
}

func (t *floors) begin() *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &reading{from: t.applied}
	t.reading = append(t.reading, r)
	return r
}

func (t *floors) end(r *reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.done = true
	for len(t.reading) > 0 && t.reading[0].done {
		t.reading = t.reading[1:]
	}
	t.drop()
}

// reached is up to where floors can be dropped: nothing under way is older.
func (t *floors) reached() meta.Position {
	if len(t.reading) > 0 {
		return t.reading[0].from
	}
	return t.applied
}

// drop removes the floors that this site has reached.
func (t *floors) drop() {
	reached := t.reached()
	n := 0
	for n < len(t.queue) && !reached.Before(t.queue[n].at) {
		k := t.queue[n].k
		if f, ok := t.byKey[k]; ok && !f.ask && !reached.Before(f.at) {
			delete(t.byKey, k)
		}
		n++
	}
	if t.queue = t.queue[n:]; len(t.queue) == 0 {
		t.queue = nil // give the memory back
	}
}

// raise notes that a caller has seen a key as it is at a position.
func (t *floors) raise(at meta.Position, k key, what content) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.byKey[k]
	if f.ask && !at.Before(f.at) {
		f.ask = false
		t.asks--
		t.byKey[k] = f
	}
	if !t.applied.Before(at) {
		switch {
		case f.ask:
		case t.reached().Before(f.at): // the queue may have passed it while ask was set
			t.queue = append(t.queue, queued{at: f.at, k: k})
		default:
			delete(t.byKey, k)
		}
		return
	}
	t.top = later(t.top, at)
	switch c := at.Compare(f.at); {
	case c < 0: // what is known is newer
		return
	case c == 0 && !what.known() && what.target == "":
		return
	case c == 0:
		what = merge(f.what, what)
	default:
		if f.what.target != "" && what.attr != nil && what.target == "" {
			what.target = f.what.target // a link's target never changes
		}
	}
	t.put(k, floor{at: at, what: what, ask: f.ask})
	if k.isEntry() {
		l := key{ino: k.ino, name: listing}
		if g := t.byKey[l]; g.at.Before(at) {
			t.put(l, floor{at: at, ask: g.ask})
		}
	}
}

// raiseAll notes that nothing may be older than a position.
func (t *floors) raiseAll(at meta.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.applied.Before(at) {
		t.top, t.all = later(t.top, at), later(t.all, at)
	}
}

// merge joins what two effects of one record tell of a key.
func merge(old, now content) content {
	if now.attr == nil && !now.gone {
		now.attr = old.attr
	}
	if now.child == 0 && !now.gone {
		now.child = old.child
	}
	if now.target == "" {
		now.target = old.target
	}
	return now
}

// put stores a floor within the limit.
func (t *floors) put(k key, f floor) {
	if _, ok := t.byKey[k]; !ok && len(t.byKey) >= t.max {
		t.all = later(t.all, f.at)
		return
	}
	old := t.byKey[k]
	t.byKey[k] = f
	if old.at != f.at {
		t.queue = append(t.queue, queued{at: f.at, k: k})
	}
	if len(t.queue) > 2*t.max { // one key raised again and again
		t.compact()
	}
}

// compact leaves one place in the queue for each key.
func (t *floors) compact() {
	kept := t.queue[:0]
	for _, q := range t.queue {
		if t.byKey[q.k].at == q.at {
			kept = append(kept, q)
		}
	}
	t.queue = kept
}

// suspect notes that what is here of the keys may be old.
func (t *floors) suspect(keys ...key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		f, ok := t.byKey[k]
		if f.ask || !ok && len(t.byKey) >= t.max {
			continue // nothing was promised about it: it may be left out
		}
		f.ask = true
		f.what = content{}
		t.byKey[k] = f
		t.asks++
	}
}

// patch puts into entries of a listing read here at a position what is known to
// be newer, and returns the position that the listing must have reached for what
// cannot be patched.
func (t *floors) patch(entries []meta.Entry, at meta.Position) meta.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byKey) == 0 {
		return at
	}
	must := at
	for i := range entries {
		n := &entries[i].Node
		f, ok := t.byKey[inodeKey(n.Ino)]
		switch {
		case !ok || !at.Before(f.at):
		case f.what.attr != nil:
			n.Attr = *f.what.attr
		default:
			must = later(must, f.at)
		}
	}
	return must
}

// size is for metrics and tests.
func (t *floors) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}
