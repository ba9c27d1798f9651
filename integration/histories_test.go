package integration_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"mirrorfs/integration/harness"
	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

// Programs on four mounts, two at each site, work on the same few names, while the link
// between the sites is reset and cut. What those at the source were told, and what
// was changed from the mirror, is explained by one order (promise 1); at the mirror,
// each mount was told states that the source had, none older than what it had been
// told or had done before (promises 3 and 6). Numbers in files go up only, everywhere.
func TestFourMountHistories(t *testing.T) {
	rounds := 60
	if long() {
		rounds = 3000
	}
	h := newHistories(t, rounds)
	done := make(chan struct{})
	var beside sync.WaitGroup
	for i := range h.mounts {
		beside.Go(func() { h.useNumbers(i, done) })
	}
	disturbed := make(chan struct{})
	go func() { disturb(h.s, done); close(disturbed) }()
	for round := range rounds {
		h.round(round)
		if t.Failed() {
			break
		}
	}
	close(done)
	<-disturbed
	beside.Wait()
	h.s.wait()
	h.checkNumbers()
	t.Logf("done at each mount: %v; not told whether done: %d; numbers written and read: %d", h.count, h.unsure, h.numbers.Load())
	for i, n := range h.count {
		if n < rounds {
			t.Errorf("only %d acts succeeded at mount %d", n, i)
		}
	}
}

// histories is what the test has running.
type histories struct {
	t       *testing.T
	s       *twoSites
	rng     *rand.Rand
	mounts  []*harness.Mount // two at the source, two at the mirror
	log     nameLog
	counter [2]*number
	numbers atomic.Int64

	tick   atomic.Int64
	count  [4]int
	unsure int
}

func newHistories(t *testing.T, rounds int) *histories {
	t.Helper()
	h := &histories{t: t, rng: rand.New(rand.NewPCG(seedOf(t), 6)), s: newTwoSites(t, 2*time.Millisecond, fileBucket)}
	h.s.runMirror()
	for i, name := range []string{"a1", "a2", "b1", "b2"} {
		site := []string{h.s.metaA, h.s.metaB}[i/2]
		// The kernel asks for every name each time: it has no say in what is seen.
		h.mounts = append(h.mounts, h.s.Mount(name, site, "--entry-timeout", "0", "--attr-timeout", "0"))
	}
	first := h.mounts[0].Dir
	for round := range rounds {
		must(t, os.Mkdir(filepath.Join(first, fmt.Sprint(round)), 0o755))
	}
	for i := range h.counter {
		h.counter[i] = &number{file: fmt.Sprint("number", i), doubtful: map[int64]bool{}}
		must(t, os.WriteFile(filepath.Join(first, h.counter[i].file), fmt.Appendf(nil, "%016d", 0), 0o644))
	}
	h.s.wait()
	e, err := redis.Open(t.Context(), h.s.metaA, redis.Options{})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	h.log = nameLog{e: e, dirs: map[uint64][]inodes{}}
	return h
}

// round has a client at each mount work in one directory, and judges what they say.
func (h *histories) round(round int) {
	dir := fmt.Sprint(round)
	var group sync.WaitGroup
	done := make([][]porcupine.Operation, len(h.mounts))
	for i, m := range h.mounts {
		rng := rand.New(rand.NewPCG(h.rng.Uint64(), uint64(i)))
		group.Go(func() {
			for n := range 12 {
				a := randomAct(rng, 1+n*len(h.mounts)+i, i >= 2)
				called := h.tick.Add(1)
				o := a.do(filepath.Join(m.Dir, dir))
				returned := h.tick.Add(1)
				if o.unsure() {
					returned = math.MaxInt64 // it may be done at any time from now on
				}
				done[i] = append(done[i], porcupine.Operation{ClientId: i, Input: a, Call: called, Output: o, Return: returned})
			}
		})
	}
	group.Wait()
	h.judge(dir, done)
}

func (h *histories) judge(dir string, done [][]porcupine.Operation) {
	h.t.Helper()
	var at unix.Stat_t
	must(h.t, unix.Stat(filepath.Join(h.mounts[0].Dir, dir), &at))
	h.log.read(h.t)
	states := h.log.states(at.Ino)
	var ordered []porcupine.Operation
	for i, operations := range done {
		var glimpses []glimpse
		for _, op := range operations {
			a, _ := op.Input.(act)
			o, _ := op.Output.(outcome)
			if g, tells := glimpseOf(a, o); tells {
				glimpses = append(glimpses, g)
			}
			if !a.mirror || a.op != "stat" && a.op != "readdir" {
				ordered = append(ordered, op)
			}
			switch {
			case o.errno == 0:
				h.count[i]++
			case o.unsure() && a.mirror:
				h.unsure++
			case o.unsure():
				h.t.Errorf("at the source, whose link is whole: %v: %v", a, o.errno)
			}
		}
		if wrong := follow(states, glimpses); wrong != "" {
			h.t.Errorf("%s: a client of mount %d was told\n%s\nof\n%s", dir, i, wrong, table(operations))
		}
	}
	const most = 2 * time.Minute
	if verdict := porcupine.CheckOperationsTimeout(namesModel(), ordered, most); verdict != porcupine.Ok {
		h.t.Errorf("%s: no order explains this (%v):\n%s", dir, verdict, table(ordered))
	}
}

func randomAct(rng *rand.Rand, id int, mirror bool) act {
	ops := []string{"create", "create", "mkdir", "unlink", "rmdir", "rename", "move", "link", "stat", "stat", "readdir", "readdir"}
	a := act{id: id, op: ops[rng.IntN(len(ops))], name: rng.IntN(len(historyNames)), mirror: mirror}
	a.to = (a.name + 1 + rng.IntN(len(historyNames)-1)) % len(historyNames)
	return a
}

// do makes the calls.
func (a act) do(dir string) outcome {
	path := func(i int) string { return filepath.Join(dir, historyNames[i:i+1]) }
	name, to := path(a.name), path(a.to)
	var o outcome
	var err error
	switch a.op {
	case "create":
		o.found, err = create(name)
	case "mkdir":
		err = unix.Mkdir(name, 0o755)
	case "unlink":
		err = unix.Unlink(name)
	case "rmdir":
		err = unix.Rmdir(name)
	case "rename":
		err = unix.Rename(name, to)
	case "move":
		err = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	case "link":
		err = unix.Link(name, to)
	case "stat":
		var st unix.Stat_t
		err = unix.Lstat(name, &st)
		o.found = entry{ino: st.Ino, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	case "readdir":
		o.list, err = list(dir)
	}
	if err != nil {
		o = outcome{errno: meta.Errno(err)}
	}
	return o
}

// create makes a file. Which inode it is may not be told when its name is gone already.
func create(name string) (entry, error) {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return entry{}, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	_ = unix.Close(fd)
	if err != nil {
		return entry{}, nil //nolint:nilerr // it was made
	}
	return entry{ino: st.Ino}, nil
}

// list reads a directory in one call, which is one state of it: a stream that goes on may
// find at its next step what has come since.
func list(dir string) (l bindings, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	buf := make([]byte, 64<<10)
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		return l, err
	}
	for rest := buf[:n]; len(rest) > 0; {
		e, name, size := dirent(rest)
		if i := strings.Index(historyNames, name); len(name) == 1 && i >= 0 {
			l[i] = e
		}
		rest = rest[size:]
	}
	return l, nil
}
