package chaos_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// versions is a directory in which a program of one site publishes: `written` is written in
// place, `replaced` is replaced by rename, each by a higher number each time; and one file is either
// `here` or `there`.
type versions struct {
	dir  string
	at   *site
	next int64

	mu       sync.Mutex
	doubtful map[int64]bool // of which the program was not told
	told     map[string]int64
}

// written, replaced, here and there are the names in such a directory.
const written, replaced, here, there = "written", "replaced", "here", "there"

func newVersions(t *testing.T, s *site) *versions {
	t.Helper()
	p := &versions{dir: "versions-" + s.name, at: s, doubtful: map[int64]bool{}, told: map[string]int64{}}
	a := s.access.Load()
	must(t, os.Mkdir(a.path(p.dir), 0o755))
	for _, name := range []string{written, replaced, here} {
		must(t, os.WriteFile(a.path(p.dir, name), version(0), 0o644))
	}
	return p
}

func version(n int64) []byte { return fmt.Appendf(nil, "%016d", n) }

// publish makes the next version, through the mount that its site has now.
func (p *versions) publish(v *volume) {
	pause()
	v.publishing.RLock()
	defer v.publishing.RUnlock()
	a := p.at.access.Load()
	if a == nil {
		return
	}
	unequal := v.unequal.Load()
	p.next++
	n, name := p.next, []string{written, replaced, ""}[p.next%3]
	p.mu.Lock()
	p.doubtful[n] = true
	p.mu.Unlock()
	var err error
	switch name {
	case written:
		err = overwrite(a.path(p.dir, written), version(n))
	case replaced:
		part := a.path(p.dir, fmt.Sprint("part", n))
		if err = os.WriteFile(part, version(n), 0o644); err == nil {
			err = os.Rename(part, a.path(p.dir, replaced))
		}
	default: // it is under one of the names, and then under the other
		err = os.Rename(a.path(p.dir, here), a.path(p.dir, there))
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(a.path(p.dir, there), a.path(p.dir, here))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.doubtful, n)
		if v.unequal.Load() == unequal && unequal%2 == 0 {
			p.told[name] = n
		} else {
			p.told = map[string]int64{}
		}
	}
}

// pause keeps a program from taking all of the machine.
func pause() { <-time.After(20 * time.Millisecond) }

// overwrite writes the beginning of a file anew, and syncs it.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reader reads what all sites publish through one site's mount.
type reader struct {
	v    *volume
	at   *site
	list []*versions
	seen map[string]int64 // the latest version by file, that this mount has shown
	was  *access
	age  int64 // of v.unequal
	read atomic.Int64
}

// watch reads until done.
func (r *reader) watch(done <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		pause()
		a := r.at.access.Load()
		age := r.v.unequal.Load()
		if a == nil {
			continue
		}
		if a != r.was || age != r.age {
			r.was, r.age, r.seen = a, age, map[string]int64{}
		}
		p := r.list[i%len(r.list)]
		told := p.last()
		before := r.v.roles.Load()
		var wrong error
		if i/len(r.list)%3 == 2 {
			wrong = r.look(a, p)
		} else {
			name := []string{written, replaced}[i/len(r.list)%3]
			least := r.least(p, name, told, before)
			wrong = r.number(a, p, name, least)
		}
		if wrong != nil && age%2 == 0 && r.v.unequal.Load() == age && r.v.roles.Load() == before {
			r.v.t.Errorf("a reader at site %s, where site %s publishes: %v", r.at.name, p.at.name, wrong)
			return
		}
	}
}

func (p *versions) last() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return map[string]int64{written: p.told[written], replaced: p.told[replaced]}
}

// roles is who is the source; nobody while that changes.
type roles struct{ source *site }

// least is the oldest version that this mount may show: at the source what anybody was told is
// done, at a mirror what it has shown or made.
func (r *reader) least(p *versions, name string, told map[string]int64, roles *roles) int64 {
	least := r.seen[p.dir+name]
	if r.v.sharp && roles.source == r.at {
		least = max(least, told[name])
	}
	return least
}

// number reads a version. Trouble is no answer.
func (r *reader) number(a *access, p *versions, name string, least int64) error {
	text, err := os.ReadFile(a.path(p.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // it is not told anything
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.read.Add(1)
	p.mu.Lock()
	doubtful := p.doubtful[n] || p.doubtful[least] // what nobody was told of may come to nothing
	p.mu.Unlock()
	if n < least && !doubtful {
		return fmt.Errorf("%s is at version %d after it was at %d", name, n, least)
	}
	r.seen[p.dir+name] = n
	return nil
}

// look lists the directory: no rename is seen half done.
func (r *reader) look(a *access, p *versions) error {
	names, err := list(a.path(p.dir))
	if err != nil {
		return nil //nolint:nilerr // it is not told anything
	}
	r.read.Add(1)
	found := map[string]bool{}
	for _, name := range names {
		if !strings.HasPrefix(name, "part") {
			found[name] = true
		}
	}
	if !found[written] || !found[replaced] || found[here] == found[there] || len(found) != 3 {
		return fmt.Errorf("the directory holds %q", names)
	}
	return nil
}

// list reads a directory in one call, which is one state of it: a stream that goes on may
// find at its next step what has come since.
func list(dir string) (names []string, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, 64<<10)
	n, err := unix.Getdents(int(f.Fd()), buf)
	if err != nil {
		return nil, err
	}
	_, _, names = unix.ParseDirent(buf[:n], -1, nil)
	return names, nil
}
