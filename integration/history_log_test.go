package integration_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mirrorfs/meta"
)

// nameLog is what the source's log says of directories: each state that they had, in order.
type nameLog struct {
	e    meta.Source
	at   meta.Position
	dirs map[uint64][]inodes
}

// inodes are what the names of historyNames stand for; 0 is no such name.
type inodes [len(historyNames)]uint64

// read reads on in the log.
func (l *nameLog) read(t *testing.T) {
	t.Helper()
	for {
		entries, err := l.e.Tail(t.Context(), l.at, 1000, 0)
		must(t, err)
		if len(entries) == 0 {
			return
		}
		for _, e := range entries {
			record, err := meta.DecodeRecord(e.Raw)
			must(t, err)
			l.add(record.Effects)
			l.at = e.Position
		}
	}
}

// add notes what one change did: to whatever it did it, that is one step.
func (l *nameLog) add(effects []meta.Effect) {
	now := map[uint64]inodes{}
	for i := range effects {
		f := &effects[i]
		if f.Kind != meta.EffectEntry && f.Kind != meta.EffectEntryGone {
			continue
		}
		place := strings.Index(historyNames, f.Name)
		if place < 0 || len(f.Name) != 1 {
			continue
		}
		dir := uint64(f.Parent)
		state, ok := now[dir]
		if !ok {
			state = l.last(dir)
		}
		state[place] = 0
		if f.Kind == meta.EffectEntry {
			state[place] = uint64(f.Ino)
		}
		now[dir] = state
	}
	for dir, state := range now {
		l.dirs[dir] = append(l.states(dir), state)
	}
}

// states are all that a directory had; it was empty first.
func (l *nameLog) states(dir uint64) []inodes {
	if l.dirs[dir] == nil {
		return []inodes{{}}
	}
	return l.dirs[dir]
}

func (l *nameLog) last(dir uint64) inodes {
	states := l.states(dir)
	return states[len(states)-1]
}

// glimpse is what one client was told, all at once, of some names.
type glimpse struct {
	what string
	of   [len(historyNames)]bool
	is   inodes
}

func glimpseOf(a act, o outcome) (g glimpse, tells bool) {
	g.what = fmt.Sprintf("%v -> %+v", a, o)
	tell := func(i int, ino uint64) { g.of[i], g.is[i], tells = true, ino, true }
	switch {
	case a.op == "stat" && o.errno == syscall.ENOENT:
		tell(a.name, 0)
	case o.errno != 0:
	case a.op == "create" && o.found.ino == 0: // which it is was not told
	case a.op == "stat", a.op == "create":
		tell(a.name, o.found.ino)
	case a.op == "unlink", a.op == "rmdir", a.op == "move":
		tell(a.name, 0)
	case a.op == "readdir":
		for i := range o.list {
			tell(i, o.list[i].ino)
		}
	}
	return g, tells
}

// follow looks whether what a client was told, in this order, are states that the
// source had, and whether no name was seen older than it had been seen before. It
// tells what is wrong.
func follow(states []inodes, glimpses []glimpse) string {
	var least [len(historyNames)]int // the oldest state that may be seen, by name
	for _, g := range glimpses {
		from := 0
		for i := range g.of {
			if g.of[i] {
				from = max(from, least[i])
			}
		}
		// All names of one glimpse are of one state, which no name may be older than.
		at := from
		for at < len(states) && !g.fits(states[at]) {
			at++
		}
		if at == len(states) {
			return fmt.Sprintf("%s: of %d states the client had seen number %d and newer ones: %v", g.what, len(states), from, states)
		}
		for i := range g.of {
			if g.of[i] {
				least[i] = at
			}
		}
	}
	return ""
}

func (g *glimpse) fits(state inodes) bool {
	for i := range g.of {
		if g.of[i] && g.is[i] != state[i] {
			return false
		}
	}
	return true
}
