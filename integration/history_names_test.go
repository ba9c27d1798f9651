package integration_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"
)

// historyNames are the names in the directory that the clients of a history share.
const historyNames = "abc"

// act is what a client of a history does: op is a system call or two, on names of
// historyNames by their place there.
type act struct {
	id       int
	op       string
	name, to int
	mirror   bool // through a mount of the mirror
}

func (a act) String() string {
	where := "source"
	if a.mirror {
		where = "mirror"
	}
	return fmt.Sprintf("%d %s %c %c at the %s", a.id, a.op, historyNames[a.name], historyNames[a.to], where)
}

// outcome is what came of it.
type outcome struct {
	errno syscall.Errno
	found entry    // stat, create
	list  bindings // readdir
}

// unsure tells whether the program was not told if it was done or not.
func (o outcome) unsure() bool { return o.errno == syscall.EIO || o.errno == syscall.ETIMEDOUT }

// entry is what a name stands for: an inode, or one whose number nobody has seen yet
// and that goes by the id of the act that made it. The zero value is no such name.
type entry struct {
	ino uint64
	new int
	dir bool
}

type bindings [len(historyNames)]entry

// asSeen gives the state with what a client has seen under a name, if that can be.
func (l bindings) asSeen(i int, e entry) (bindings, bool) {
	was := l[i]
	if was.new == 0 || e.ino == 0 || was.dir != e.dir {
		return l, was == e
	}
	for j := range l {
		if l[j].new == was.new {
			l[j] = e
		}
	}
	return l, true
}

// with gives the state with names that stand for something else.
func (l bindings) with(i int, e entry) bindings {
	l[i] = e
	return l
}

// namesModel is the directory for porcupine. What the kernel makes of one name is one
// request that decides; of two names it asks one after the other, before it sends the change: so what it
// says of them without having sent one may be true of no moment.
func namesModel() porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{bindings{}} },
		Step: func(state, in, out any) (after []any) {
			s, _ := state.(bindings)
			a, _ := in.(act)
			o, _ := out.(outcome)
			for _, next := range s.step(a, o) {
				after = append(after, next)
			}
			return after
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v -> %+v", in, out) },
	}
	return nondeterministic.ToModel()
}

// step gives the states that an act can have left: none if it cannot have had the outcome.
func (l bindings) step(a act, o outcome) []bindings {
	switch {
	case o.errno == 0:
		return l.done(a, o)
	case o.unsure():
		return append(l.done(a, o), l)
	case a.mirror, o.errno == syscall.ESTALE: // names at a mirror may be behind
		return []bindings{l}
	}
	is := l[a.name]
	var possible bool
	switch o.errno {
	case syscall.ENOENT:
		possible = is == entry{} || a.op == "rename" || a.op == "move" || a.op == "link"
	case syscall.EEXIST:
		possible = is != entry{} || a.op == "move" || a.op == "link"
	case syscall.EISDIR:
		possible = a.op == "rename" || a.op == "unlink" && is.dir
	case syscall.ENOTDIR:
		possible = a.op == "rename" || a.op == "rmdir" && is != entry{} && !is.dir
	case syscall.EPERM:
		possible = a.op == "link" // a directory
	}
	if !possible {
		return nil
	}
	return []bindings{l}
}

// done gives the states that an act leaves when it is done.
func (l bindings) done(a act, o outcome) []bindings {
	is, gone := l[a.name], entry{}
	var after bindings
	ok := false
	switch a.op {
	case "create":
		if o.found == gone {
			o.found = entry{new: a.id}
		}
		after, ok = l.with(a.name, o.found), is == gone
	case "mkdir":
		after, ok = l.with(a.name, entry{new: a.id, dir: true}), is == gone
	case "unlink":
		after, ok = l.with(a.name, gone), is != gone && !is.dir
	case "rmdir":
		after, ok = l.with(a.name, gone), is.dir
	case "move":
		after, ok = l.with(a.name, gone).with(a.to, is), is != gone && l[a.to] == gone
	case "rename":
		return l.renamed(a)
	case "link":
		return l.linked(a)
	case "stat":
		after, ok = l.asSeen(a.name, o.found)
	case "readdir":
		after, ok = l, true
		for i := range o.list {
			if ok {
				after, ok = after.asSeen(i, o.list[i])
			}
		}
	}
	if !ok {
		return nil
	}
	return []bindings{after}
}

// renamed: when the kernel has found the same inode under both names, one after the
// other, it does nothing and says that it is done.
func (l bindings) renamed(a act) (after []bindings) {
	is, was := l[a.name], l[a.to]
	if is != (entry{}) && (was == entry{} || was.dir == is.dir) && is != was {
		after = append(after, l.with(a.name, entry{}).with(a.to, is))
	}
	if was != (entry{}) || a.mirror {
		after = append(after, l)
	}
	return after
}

// linked: the inode that the kernel has found may have another name by now.
func (l bindings) linked(a act) (after []bindings) {
	if l[a.to] != (entry{}) {
		return nil
	}
	for i, e := range l {
		if e != (entry{}) && !e.dir && !slices.Contains(l[:i], e) {
			after = append(after, l.with(a.to, e))
		}
	}
	return after
}

// table writes a history down, by time of call.
func table(operations []porcupine.Operation) string {
	slices.SortFunc(operations, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var text strings.Builder
	for _, o := range operations {
		fmt.Fprintf(&text, "%3d-%3d %v -> %+v\n", o.Call, o.Return, o.Input, o.Output)
	}
	return text.String()
}

// dirent reads a directory entry as getdents64(2) gives it.
func dirent(b []byte) (e entry, name string, size int) {
	const ino, length, kind, begin = 0, 16, 18, 19
	e.ino = binary.NativeEndian.Uint64(b[ino:])
	size = int(binary.NativeEndian.Uint16(b[length:]))
	e.dir = b[kind] == unix.DT_DIR
	text, _, _ := bytes.Cut(b[begin:size], []byte{0})
	return e, string(text), size
}
