package metatest

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"mirrorfs/meta"
)

// generator makes up steps that are likely to hit something: it looks at the model.
type generator struct {
	rng  *rand.Rand
	pair *pair
	next int // id of the next step

	dirs, others []meta.Ino // handles of inodes that were made, dead ones included
	big          meta.Ino   // a directory that is to grow past a page
	phase        int        // mix, fill or drain
	left         int        // steps until the phase may change
	slice        uint64     // last slice number taken
}

const (
	mix = iota
	fill
	drain
)

func newGenerator(seed uint64, p *pair) *generator {
	return &generator{rng: rand.New(rand.NewPCG(seed, 1)), pair: p, dirs: []meta.Ino{meta.RootIno}, big: meta.RootIno}
}

// smallNames collide, are prefixes of each other, or look like something else.
func smallNames() []string {
	return []string{
		"a", "b", "c", "ab", "abc", "a\x01", "a\xff", "\x01", "\xff", "\xff\xff", "1", "01", "10", "2", "-1",
		"1e3", "9007199254740993", " ", "ä", "日本", "...", "*", "[a]", "\\", "{v}", "state", "A",
	}
}

func oddNames() []string {
	long := strings.Repeat("n", 254)
	return []string{long + "1", long + "2", long, long + "12", "", ".", "..", "a/b", "a\x00", strings.Repeat("\xff", 255)}
}

func (g *generator) name() string {
	switch {
	case g.rng.IntN(25) == 0:
		return pick(g.rng, oddNames())
	default:
		return pick(g.rng, smallNames())
	}
}

// manyNames are for the directory that grows: some in order, some not, some with
// a long part in common.
func (g *generator) manyName() string {
	n := g.rng.IntN(700)
	switch n % 3 {
	case 0:
		return "f" + strconv.Itoa(1000+n)
	case 1:
		return "common-prefix-" + strconv.FormatInt(int64(n)*7919%700, 36)
	default:
		return string([]byte{byte(1 + n%40), byte(1 + n/40)})
	}
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// recent picks from a list, rather from its end.
func recent(rng *rand.Rand, from []meta.Ino) meta.Ino {
	if len(from) == 0 || rng.IntN(100) == 0 {
		return noHandle
	}
	span := min(len(from), 12)
	if rng.IntN(4) == 0 {
		span = len(from)
	}
	return from[len(from)-1-rng.IntN(span)]
}

func (g *generator) dir() meta.Ino {
	switch n := g.rng.IntN(20); {
	case n < 7:
		return meta.RootIno
	case n == 7 && len(g.others) > 0:
		return recent(g.rng, g.others) // ENOTDIR
	}
	for range 5 {
		if h := recent(g.rng, g.dirs); g.isAlive(h) {
			return h
		}
	}
	return recent(g.rng, g.dirs)
}

func (g *generator) isAlive(h meta.Ino) bool {
	_, err := g.pair.model.GetAttr(context.Background(), g.pair.inode(h))
	return err == nil
}

func (g *generator) other() meta.Ino {
	if g.rng.IntN(15) == 0 {
		return recent(g.rng, g.dirs)
	}
	for range 5 {
		if h := recent(g.rng, g.others); g.isAlive(h) {
			return h
		}
	}
	return recent(g.rng, g.others)
}

// existing picks a name that a directory has, mostly.
func (g *generator) existing(dir meta.Ino) string {
	if g.rng.IntN(8) == 0 {
		return g.name()
	}
	page, err := g.pair.model.ReadDir(context.Background(), g.pair.inode(dir), g.name(), 4)
	if err != nil || len(page.Entries) == 0 {
		page, err = g.pair.model.ReadDir(context.Background(), g.pair.inode(dir), "", 4)
	}
	if err != nil || len(page.Entries) == 0 {
		return g.name()
	}
	return pick(g.rng, page.Entries).Name
}

// step makes up the next step.
func (g *generator) step() step {
	s := step{id: g.next}
	g.next++
	if g.rng.IntN(3) > 0 {
		s.pause = time.Duration(g.rng.IntN(3_000_000))
	}
	if g.left--; g.left <= 0 {
		g.phase, g.left = pick(g.rng, []int{mix, mix, fill, fill, drain}), 50+g.rng.IntN(300)
		if g.phase == fill {
			g.left += 300
		}
		if h := recent(g.rng, g.dirs); g.phase == fill && g.isAlive(h) {
			g.big = h
		}
	}
	switch n := g.rng.IntN(100); {
	case s.id == 0: // most of the time the volume has a trash
		s.change = meta.Settings{Volume: meta.Volume{Trash: time.Hour}}
	case n == 0 && g.rng.IntN(3) == 0:
		s.renew = true
	case n == 1:
		s.beat = []meta.Ino{g.other(), g.other(), g.other()}
	case n < 25:
		s.ask = g.question()
	case g.phase == fill && n < 90:
		s.change = meta.Make{Parent: g.big, Name: g.manyName(), Mode: meta.TypeFile | 0o644}
	case g.phase == drain && n < 90:
		s.change = meta.Unlink{Parent: g.big, Name: g.drainName()}
	default:
		s.change = g.change()
	}
	g.note(&s)
	return s
}

func (g *generator) drainName() string {
	page, err := g.pair.model.ReadDir(context.Background(), g.pair.inode(g.big), g.manyName(), 1)
	if err != nil || len(page.Entries) == 0 {
		return g.existing(g.big)
	}
	return page.Entries[0].Name
}

// note remembers the inode that a step will make, if it does.
func (g *generator) note(s *step) {
	h := firstHandle + meta.Ino(s.id)
	if c, ok := s.change.(meta.SetAttr); ok && c.Set&meta.SetSize != 0 && c.Size == 0 {
		g.others = append(g.others, h) // what the file held may become an orphan
	}
	c, ok := s.change.(meta.Make)
	if !ok {
		return
	}
	if c.Mode&meta.TypeMask == meta.TypeDir {
		g.dirs = append(g.dirs, h)
	} else {
		g.others = append(g.others, h)
	}
}

func (g *generator) question() *question {
	q := &question{ino: g.dir(), n: 1 + g.rng.IntN(30)}
	switch n := g.rng.IntN(20); {
	case n < 6:
		q.what, q.name = "lookup", g.existing(q.ino)
	case n < 9:
		q.what, q.ino = "getattr", g.other()
	case n < 11:
		q.what = "resolve"
		for range g.rng.IntN(5) {
			q.name += pick(g.rng, []string{g.existing(q.ino), "..", ".", "/", g.name()}) + "/"
		}
	case n < 15:
		q.what, q.name = "readdir", pick(g.rng, []string{"", g.existing(q.ino), g.name()})
		q.n = pick(g.rng, []int{1, 2, 127, 128, 129, 1000})
	case n < 16:
		q.what, q.ino = "readlink", g.other()
	case n < 17:
		q.what, q.ino = "extents", g.other()
	case n < 18:
		q.what, q.ino, q.name = "getxattr", g.other(), g.xattr()
	case n < 19:
		q.what, q.ino = "listxattr", g.other()
	default:
		q.what = pick(g.rng, []string{"statfs", "quotas", "quotasat", "quotasat"})
		if g.rng.IntN(2) == 0 {
			q.ino = g.other()
		}
	}
	return q
}

func (g *generator) xattr() string {
	return pick(g.rng, []string{"user.a", "user.b", "user.ab", "security.capability", "user." + strings.Repeat("x", 250), meta.XattrACL, meta.XattrDefaultACL})
}
