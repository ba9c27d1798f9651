package posix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Object is something that a case finds in its box.
type Object struct {
	Path string
	// Type is one of unix.S_IF.
	Type uint32
	// Target is of a symbolic link, or the object that a hard link is to.
	Target string
	// Mode is 0644 for files and 0755 for directories when zero; NoMode is none.
	Mode     uint32
	UID, GID int
}

// noMode is a mode without any bit; zero stands for the usual one.
const noMode = 1 << 31

// Case is a box and what is done in it.
type Case struct {
	Objects []Object
	Calls   []Call
}

// content of the files that are made.
const content = "abc"

// make makes an object below a directory, as root.
func (o *Object) make(dir string) error {
	path := filepath.Join(dir, o.Path)
	mode := o.Mode
	var err error
	switch {
	case o.Type == unix.S_IFLNK:
		if err := unix.Symlink(o.Target, path); err != nil {
			return fmt.Errorf("%s: %w", o.Path, err)
		}
		return unix.Lchown(path, o.UID, o.GID)
	case o.Target != "":
		return unix.Link(filepath.Join(dir, o.Target), path)
	case o.Type == unix.S_IFREG:
		err = os.WriteFile(path, []byte(content), 0o600)
		mode = defaultMode(mode, 0o644)
	case o.Type == unix.S_IFDIR:
		if o.Path != "." {
			err = unix.Mkdir(path, 0o700)
		}
		mode = defaultMode(mode, 0o755)
	default:
		const null = 1<<8 | 3
		err = unix.Mknod(path, o.Type|0o600, null)
		mode = defaultMode(mode, 0o644)
	}
	if err == nil {
		err = again(func() error { return unix.Lchown(path, o.UID, o.GID) })
	}
	if err == nil {
		err = again(func() error { return unix.Chmod(path, mode&0o7777) })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.Path, err)
	}
	return nil
}

func defaultMode(mode, usual uint32) uint32 {
	if mode == 0 {
		return usual
	}
	return mode
}

// box is a directory in which one case runs.
type box struct {
	c    *Case
	dir  string
	told []string // of each call
	seen map[uint64]sighting
}

// sighting is what was seen of an inode before the calls.
type sighting struct {
	path         string
	mtime, ctime unix.Timespec
}

// newBox makes the directory and the case's objects.
func newBox(dir string, c *Case) (*box, error) {
	b := &box{c: c, dir: dir, seen: map[uint64]sighting{}}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for i := range c.Objects {
		if err := c.Objects[i].make(dir); err != nil {
			return nil, err
		}
	}
	return b, b.walk(dir, func(path string, st *unix.Stat_t) {
		if _, again := b.seen[st.Ino]; !again {
			b.seen[st.Ino] = sighting{path: path, mtime: st.Mtim, ctime: st.Ctim}
		}
	})
}

// latest is the latest time of change in the box.
func (b *box) latest() (t unix.Timespec) {
	for _, s := range b.seen {
		if after(s.ctime, t) {
			t = s.ctime
		}
	}
	return t
}

func after(a, b unix.Timespec) bool {
	return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec
}

// run makes the calls.
func (b *box) run(w *worker) error {
	fd, err := unix.Open(b.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for i := range b.c.Calls {
		b.told = append(b.told, w.make(fd, b.dir, &b.c.Calls[i]))
	}
	return w.become(root())
}

// look gives the transcript: what the calls told, and what the box below dir holds
// now. dir may be another view of the box.
func (b *box) look(dir string) (string, error) {
	var t strings.Builder
	for i := range b.c.Calls {
		fmt.Fprintf(&t, "%v = %s\n", b.c.Calls[i], b.told[i])
	}
	err := b.walk(dir, func(path string, st *unix.Stat_t) {
		fmt.Fprintf(&t, "  %s: %s%s", shorten(path), describe(st), holds(filepath.Join(dir, path), st))
		was, known := b.seen[st.Ino]
		switch {
		case !known:
			t.WriteString(", new")
		case was.path != path:
			fmt.Fprintf(&t, ", was %s", shorten(was.path))
		}
		if known && st.Mtim != was.mtime {
			t.WriteString(", mtime " + changed(st.Mtim))
		}
		if known && st.Ctim != was.ctime {
			t.WriteString(", ctime changed")
		}
		t.WriteByte('\n')
	})
	return t.String(), err
}

// holds is what a file contains or a link points to.
func holds(path string, st *unix.Stat_t) string {
	const most = 64
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size > most {
			return ""
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return " " + err.Error()
		}
		return fmt.Sprintf(" %q", data)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return " " + err.Error()
		}
		return " -> " + shorten(target)
	default:
		return ""
	}
}

// changed names a time that a case set, or says that it is now.
func changed(t unix.Timespec) string {
	if t.Nsec == 123456789 {
		return fmt.Sprint(t.Sec)
	}
	return "changed"
}

// walk calls f for the directory and all that is below it.
func (b *box) walk(dir string, f func(path string, st *unix.Stat_t)) error {
	var visit func(path string) error
	visit = func(path string) error {
		var st unix.Stat_t
		full := filepath.Join(dir, path)
		if err := again(func() error { return unix.Lstat(full, &st) }); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		f(path, &st)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		entries, err := os.ReadDir(full) // sorted
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := visit(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(".")
}
