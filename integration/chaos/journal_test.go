package chaos_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// what a call does.
type what string

const (
	write  what = "write"  // all of a file, which is made or cut to nothing first
	rename what = "rename" // over what is there
	unlink what = "unlink"
)

// step is a call that a writer made.
type step struct {
	what     what
	from, to string // a write has no from, an unlink no to
	content  int    // of a write
	struck   bool   // something was lost meanwhile
	err      error
}

func (s *step) String() string {
	text := fmt.Sprint(s.what)
	if s.from != "" {
		text += " " + s.from
	}
	if s.to != "" {
		text += " to " + s.to
	}
	if s.what == write {
		text += fmt.Sprintf(" content %d", s.content)
	}
	if s.struck {
		text += ", while something was lost"
	}
	if s.err != nil {
		text += fmt.Sprintf(" (%v)", s.err)
	}
	return text
}

// names are those that a step touches.
func (s *step) names() []string {
	return slices.DeleteFunc([]string{s.from, s.to}, func(n string) bool { return n == "" })
}

// file is what a name of a writer's directory stands for.
type file struct {
	id      int // of the file itself, which keeps it when it gets another name
	content int
	// part: there is a first part of the content, perhaps nothing.
	part bool
	// lies: the content was written over what lay there, which had not been cut to nothing.
	lies  bool
	under int
}

// holds tells whether these are the bytes of a file.
func (f *file) holds(data []byte) bool {
	want := content(f.content)
	switch {
	case f.part:
		return bytes.HasPrefix(want, data)
	case f.lies:
		old := content(f.under)
		return bytes.Equal(data, append(want, old[min(len(old), len(want)):]...))
	default:
		return bytes.Equal(data, want)
	}
}

// state is what a directory holds, by name.
type state map[string]file

// with gives the state in which some names stand for something else.
func (s state) with(change func(state)) state {
	next := maps.Clone(s)
	change(next)
	return next
}

// on gives what a directory holds after a step, which may not have been made on this state but on a
// later one; id is what a new file gets.
func (s *step) on(c state, id int) state {
	return c.with(func(next state) {
		f, ok := c[s.from]
		switch {
		case s.what == write:
			if old, ok := c[s.to]; ok {
				id = old.id
			}
			next[s.to] = file{id: id, content: s.content}
		case !ok:
		case s.what == rename:
			next[s.to] = f
			fallthrough
		default:
			delete(next, s.from)
		}
	})
}

// inPart gives what a directory may hold when of a step only the first changes were made.
func (s *step) inPart(c state, id int) []state {
	if s.what != write {
		return []state{c}
	}
	next := s.on(c, id)
	f := next[s.to]
	f.part = true
	next[s.to] = f
	return []state{c, next}
}

// doubtful gives what a directory may hold after a step of which nobody knows whether it was made. known is what
// the writer took the directory to hold, which may not be what it held.
func (s *step) doubtful(c, known state, id int) []state {
	all := append(s.inPart(c, id), s.on(c, id))
	if s.what != write || !s.struck {
		return all
	}
	// The kernel has the file open by its number, under a name that it may not have (any more), and was told
	// that it is cut to nothing.
	for name, f := range c {
		if f.id == known[s.to].id && !f.part {
			for _, over := range []file{
				{id: f.id, content: s.content, part: true},
				{id: f.id, content: s.content},
				{id: f.id, content: s.content, lies: true, under: f.content},
			} {
				all = append(all, c.with(func(next state) { next[name] = over }))
			}
		}
	}
	return all
}

// journal is what a writer was told is done, in order, and what it was not told of, in order.
type journal struct {
	steps, doubts []step
}

// states gives what the directory holds after none of the steps, after the first, and so on.
func (j *journal) states() []state {
	all := []state{{}}
	for i := range j.steps {
		all = append(all, j.steps[i].on(all[i], i+1))
	}
	return all
}

// madeOf finds how many of the steps were made, at least so many, when the directory is found with these
// files. It says what is wrong with the best answer when there is none.
func (j *journal) madeOf(found map[string][]byte, least int) (made int, wrong []string) {
	states := j.states()
	for k := len(j.steps); k >= least; k-- {
		w := j.differ(found, states, k)
		if len(w) == 0 {
			return k, nil
		}
		if wrong == nil || len(w) < len(wrong) {
			made, wrong = k, w
		}
	}
	return made, wrong
}

// differ tells how what was found differs from what the first k steps leave: and perhaps a part of the
// next one, and those that are in doubt.
func (j *journal) differ(found map[string][]byte, states []state, k int) (wrong []string) {
	at, known := states[k], states[len(states)-1]
	type loose struct {
		*step
		place    int
		outcomes func(state) []state
	}
	var all []loose
	if k < len(j.steps) { // it may have been several changes
		s := &j.steps[k]
		all = append(all, loose{s, 0, func(c state) []state { return s.inPart(c, k+1) }})
	}
	for i := range j.doubts {
		s := &j.doubts[i]
		all = append(all, loose{s, 1 + i, func(c state) []state { return s.doubtful(c, known, -1-i) }})
	}
	settled := map[string]bool{}
	for len(all) > 0 { // those that touch the same names belong together, the others do not
		names := map[string]bool{}
		var group []loose
		for grown := true; grown; {
			grown = false
			for i, l := range all {
				touched := l.touches(at, known)
				if len(group) == 0 || slices.ContainsFunc(touched, func(n string) bool { return names[n] }) {
					for _, n := range touched {
						names[n] = true
					}
					group, all, grown = append(group, l), slices.Delete(all, i, i+1), true
					break
				}
			}
		}
		slices.SortFunc(group, func(a, b loose) int { return a.place - b.place })
		may := []state{at}
		for _, l := range group {
			var next []state
			for _, c := range may {
				next = append(next, l.outcomes(c)...)
			}
			may = next
		}
		if !slices.ContainsFunc(may, func(c state) bool { return len(compare(found, c, names)) == 0 }) {
			for _, l := range group {
				wrong = append(wrong, fmt.Sprintf("%v is neither done nor not done", l.step))
			}
			wrong = append(wrong, compare(found, at, names)...)
		}
		maps.Copy(settled, names)
	}
	others := map[string]bool{}
	for name := range at {
		others[name] = !settled[name]
	}
	for name := range found {
		others[name] = !settled[name]
	}
	return append(wrong, compare(found, at, others)...)
}

// touches are the names that an outcome of a step may change.
func (s *step) touches(c, known state) []string {
	names := s.names()
	if s.what == write && s.struck {
		for name, f := range c {
			if f.id == known[s.to].id {
				names = append(names, name)
			}
		}
	}
	return names
}

// compare tells how some names differ from what they should stand for.
func compare(found map[string][]byte, want state, names map[string]bool) (wrong []string) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f, should := want[name]
		data, is := found[name]
		switch {
		case !names[name] || !should && !is:
		case !should:
			wrong = append(wrong, fmt.Sprintf("%s should not be there, and has %d bytes", name, len(data)))
		case !is:
			wrong = append(wrong, fmt.Sprintf("%s is not there, and should have content %d", name, f.content))
		case !f.holds(data):
			wrong = append(wrong, fmt.Sprintf("%s has %d bytes, which are not the %d of content %d", name, len(data), len(content(f.content)), f.content))
		}
	}
	return wrong
}

// tell is the journal from a step on, and what the directory holds, for people.
func (j *journal) tell(found map[string][]byte, from int) string {
	var text strings.Builder
	numbers := map[string]string{}
	for i := range j.steps {
		if s := &j.steps[i]; s.what == write {
			numbers[string(content(s.content))] = fmt.Sprintf("content %d, written by call %d", s.content, i)
		}
	}
	for i := max(from, 0); i < len(j.steps); i++ {
		fmt.Fprintf(&text, "  call %d: %v\n", i, &j.steps[i])
	}
	for i := range j.doubts {
		fmt.Fprintf(&text, "  in doubt: %v\n", &j.doubts[i])
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		of, ok := numbers[string(found[name])]
		if !ok {
			of = "of no call that was told to be done"
		}
		fmt.Fprintf(&text, "  found %s: %d bytes, %s\n", name, len(found[name]), of)
	}
	return text.String()
}

// content is what a file of a number holds.
func content(number int) []byte {
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], uint64(number))
	random := rand.NewChaCha8(seed)
	b := make([]byte, 1+random.Uint64()%(40<<10))
	_, _ = random.Read(b)
	return b
}
