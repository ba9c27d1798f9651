package chaos_test

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestJournalKnowsEveryBeginning loses the end of a journal at any change, also between the two of a
// write, and makes the call that was under way on what is left, or a part of it, or not: each outcome is a
// beginning of the journal.
func TestJournalKnowsEveryBeginning(t *testing.T) {
	for seed := range uint64(150) {
		d := newDrill(seed)
		whole, lost := d.lose()
		found := d.site.files()
		least := d.rng.IntN(whole + 1)
		if made, wrong := d.w.madeOf(found, least); len(wrong) > 0 {
			t.Fatalf("seed %d: %d of %d calls made, %d changes lost: %v\n%s", seed, whole, len(d.w.steps), lost, wrong, d.w.tell(found, 0))
		} else if made < whole {
			t.Fatalf("seed %d: %d calls made, %d found\n%s", seed, whole, made, d.w.tell(found, 0))
		}
	}
}

// TestJournalRefusesHoles leaves out one call that is not among the last: whoever looks at a name that
// it alone has touched must see it.
func TestJournalRefusesHoles(t *testing.T) {
	for seed := range uint64(100) {
		d := newDrill(seed)
		d.w.doubts = nil
		hole := d.rng.IntN(len(d.w.steps))
		s := &d.w.steps[hole]
		for i := range d.w.steps {
			if i != hole {
				for _, change := range changesOf(&d.w.steps[i]) {
					change(d.site)
				}
			}
		}
		alone := !slices.ContainsFunc(d.w.steps[hole+1:], func(later step) bool {
			return slices.ContainsFunc(s.names(), func(n string) bool { return slices.Contains(later.names(), n) })
		})
		visible := slices.ContainsFunc(d.w.steps[hole+1:], func(later step) bool { return later.what == write })
		if _, wrong := d.w.madeOf(d.site.files(), hole+1); alone && visible && len(wrong) == 0 {
			t.Fatalf("seed %d: nobody sees that call %d was not made\n%s", seed, hole, d.w.tell(d.site.files(), 0))
		}
	}
}

// drill is a writer, and what its site holds.
type drill struct {
	rng  *rand.Rand
	w    *writer
	site *place
}

// place is what a site holds: names of files, and what these hold.
type place struct {
	names map[string]int
	data  map[int][]byte
}

func emptyPlace() *place { return &place{map[string]int{}, map[int][]byte{}} }

func (p *place) files() map[string][]byte {
	found := map[string][]byte{}
	for name, id := range p.names {
		found[name] = p.data[id]
	}
	return found
}

// newDrill has a writer make some calls, at no site yet. The last one is in doubt.
func newDrill(seed uint64) *drill {
	rng := rand.New(rand.NewPCG(seed, 5))
	d := &drill{rng: rng, w: &writer{rng: rng, now: state{}, safe: 0}, site: emptyPlace()}
	for range 5 + rng.IntN(40) {
		s := d.w.next()
		d.w.note(&s)
	}
	s := d.w.next()
	s.struck = true
	d.w.note(&s)
	return d
}

// changesOf are those that a step makes: a write is two. A file goes by the number that the writer's kernel
// knows it by.
func changesOf(s *step) []func(*place) {
	switch s.what {
	case write:
		return writes(s, 0)
	case rename:
		return []func(*place){func(p *place) {
			if id, ok := p.names[s.from]; ok {
				p.names[s.to] = id
				delete(p.names, s.from)
			}
		}}
	default:
		return []func(*place){func(p *place) { delete(p.names, s.from) }}
	}
}

// writes makes or cuts a file, and then fills it. known is its number, 0 to go by the name.
func writes(s *step, known int) []func(*place) {
	id := known
	return []func(*place){
		func(p *place) {
			if known == 0 {
				var ok bool
				if id, ok = p.names[s.to]; !ok {
					id = len(p.data) + 1
					p.names[s.to] = id
				}
			}
			p.data[id] = nil
		},
		func(p *place) {
			b := content(s.content)
			p.data[id] = append(b, p.data[id][min(len(b), len(p.data[id])):]...)
		},
	}
}

// lose makes the first changes of the journal, and what may come of the call in doubt.
func (d *drill) lose() (whole, lost int) {
	known := emptyPlace() // what the writer's kernel takes the site for
	var log []func(*place)
	var of []int
	for i := range d.w.steps {
		for _, change := range changesOf(&d.w.steps[i]) {
			change(known)
		}
		for _, change := range changesOf(&d.w.steps[i]) {
			log, of = append(log, change), append(of, i)
		}
	}
	left := d.rng.IntN(len(log) + 1)
	for _, change := range log[:left] {
		change(d.site)
	}
	s := &d.w.doubts[0]
	changes := changesOf(s)
	if id := known.names[s.to]; s.what == write && d.rng.IntN(2) == 0 {
		if _, ok := d.site.data[id]; ok { // else it is told that there is no such file
			changes = writes(s, id)[d.rng.IntN(2):] // that it is cut to nothing may be lost
		}
	}
	for _, change := range changes[:d.rng.IntN(len(changes)+1)] {
		change(d.site)
	}
	if left == len(log) {
		return len(d.w.steps), 0
	}
	return of[left], len(log) - left
}
