package posix

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Names and paths at and beyond the limits.
const (
	nameMax = 255
	pathMax = 4096 // with the zero at its end
)

// zoo is one object of each kind, and links of all sorts.
func zoo() []Object {
	return []Object{
		{Path: "f", Type: unix.S_IFREG, UID: ownerID, GID: ownerID},
		{Path: "hard", Type: unix.S_IFREG, Target: "f"},
		{Path: "d", Type: unix.S_IFDIR, UID: ownerID, GID: ownerID},
		{Path: "full", Type: unix.S_IFDIR, UID: ownerID, GID: ownerID},
		{Path: "full/x", Type: unix.S_IFREG},
		{Path: "p", Type: unix.S_IFIFO},
		{Path: "s", Type: unix.S_IFSOCK},
		{Path: "c", Type: unix.S_IFCHR},
		{Path: "tofile", Type: unix.S_IFLNK, Target: "f"},
		{Path: "todir", Type: unix.S_IFLNK, Target: "full"},
		{Path: "tonothing", Type: unix.S_IFLNK, Target: "missing"},
		{Path: "loop", Type: unix.S_IFLNK, Target: "loop"},
	}
}

// paths are all forms of a path into the zoo.
func paths() []string {
	list := []string{"", ".", "./", "/", "..x", "new", "new/", "new/x"}
	for _, o := range zoo() {
		list = append(list, o.Path, o.Path+"/", o.Path+"/new", o.Path+"/.", o.Path+"/..", o.Path+"/../f")
	}
	return append(list,
		"full/x/new", "todir/x", "todir/x/",
		strings.Repeat("n", nameMax), strings.Repeat("n", nameMax+1), strings.Repeat("n", nameMax+1)+"/x",
		"d/"+strings.Repeat("n", nameMax), "d/"+strings.Repeat("n", nameMax+1),
		longPath(pathMax-1, "new"), longPath(pathMax, "new"), longPath(pathMax-1, "f"), longPath(pathMax, "f"),
	)
}

// longPath leads to a name by a path of n bytes.
func longPath(n int, name string) string {
	rest := n - len(name)
	return strings.Repeat("./", rest/2) + strings.Repeat("/", rest%2) + name
}

// outside are the paths that would leave the box.
func outside(path string) bool {
	return path == "/" || path == "./.." || path == "."
}

// onePathCalls are the calls with one path, with the flags and values that matter.
func onePathCalls(path string) []Call {
	calls := []Call{
		{Op: Mkdir, Mode: 0o750},
		{Op: Mknod, Mode: unix.S_IFREG | 0o640},
		{Op: Mknod, Mode: unix.S_IFIFO | 0o640},
		{Op: Mknod, Mode: unix.S_IFSOCK | 0o640},
		{Op: Mknod, Mode: unix.S_IFCHR | 0o640},
		{Op: Mknod, Mode: unix.S_IFDIR | 0o640},
		{Op: Symlink, To: "target"},
		{Op: Symlink, To: ""},
		{Op: Symlink, To: strings.Repeat("t", pathMax-1)},
		{Op: Symlink, To: strings.Repeat("t", pathMax)},
		{Op: Unlink},
		{Op: Rmdir},
		{Op: Readlink},
		{Op: Stat},
		{Op: Stat, Flags: unix.AT_SYMLINK_NOFOLLOW},
		{Op: List},
		{Op: Access, Mode: unix.R_OK | unix.W_OK | unix.X_OK},
		{Op: Chmod, Mode: 0o7421},
		{Op: Chown, UID: otherID, GID: otherID},
		{Op: Chown, UID: otherID, GID: otherID, Flags: unix.AT_SYMLINK_NOFOLLOW},
		{Op: Chown, UID: -1, GID: -1},
		{Op: Truncate, Size: 1},
		{Op: Truncate, Size: 10},
		{Op: Truncate, Size: -1},
		{Op: Utimens, Atime: 100, Mtime: 200},
		{Op: Utimens, Atime: timeNow, Mtime: timeOmit},
		{Op: Utimens, Atime: timeOmit, Mtime: timeNow},
		{Op: Utimens, Atime: timeOmit, Mtime: timeOmit},
		{Op: Utimens, Atime: 100, Mtime: 200, Flags: unix.AT_SYMLINK_NOFOLLOW},
		{Op: Write},
		{Op: Write, Flags: unix.O_APPEND},
		{Op: Fchmod, Mode: 0o1711},
		{Op: Fchown, UID: otherID, GID: -1},
		{Op: Ftrunc, Size: 2},
	}
	for _, flags := range openFlags() {
		calls = append(calls, Call{Op: Open, Flags: flags, Mode: 0o6751})
	}
	for i := range calls {
		calls[i].Path = path
	}
	return calls
}

func openFlags() []int {
	return []int{
		unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR,
		unix.O_RDONLY | unix.O_DIRECTORY, unix.O_RDONLY | unix.O_NOFOLLOW, unix.O_PATH,
		unix.O_WRONLY | unix.O_CREAT, unix.O_RDONLY | unix.O_CREAT, unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL,
		unix.O_WRONLY | unix.O_CREAT | unix.O_NOFOLLOW, unix.O_WRONLY | unix.O_TRUNC, unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC,
		unix.O_RDWR | unix.O_APPEND | unix.O_SYNC, unix.O_WRONLY | unix.O_CREAT | unix.O_DIRECTORY, unix.O_RDWR | unix.O_NOATIME,
	}
}

// OnePath is every call with one path on every form of path, as root and as the
// files' owner.
func OnePath() []Case {
	var list []Case
	for _, path := range paths() {
		for _, call := range onePathCalls(path) {
			if outside(path) && !harmless(call.Op) {
				continue
			}
			for _, u := range []User{root(), owner()} {
				call.As = u
				open := Object{Path: ".", Type: unix.S_IFDIR, Mode: 0o777}
				list = append(list, Case{Objects: append(zooFor(path), open), Calls: []Call{call}})
			}
		}
	}
	return list
}

// harmless tells whether a call may be made on what lies outside of the box.
func harmless(op Op) bool { return op == Stat || op == Access || op == Readlink || op == Rmdir }

// zooFor leaves out of the zoo what a path has nothing to do with: boxes are what
// the cases spend their time on.
func zooFor(paths ...string) []Object {
	need := map[string]bool{}
	for _, p := range paths {
		need[strings.TrimLeft(p, "./")] = true
		first, rest, _ := strings.Cut(strings.TrimLeft(p, "./"), "/")
		need[first] = true
		for strings.Contains(rest, "f") {
			need["f"], rest = true, ""
		}
	}
	for _, also := range [][2]string{{"tofile", "f"}, {"hard", "f"}, {"todir", "full"}, {"full", "full/x"}} {
		if need[also[0]] {
			need[also[1]] = true
		}
	}
	var list []Object
	for _, o := range zoo() {
		if need[o.Path] {
			list = append(list, o)
		}
	}
	return list
}

// TwoPaths is rename, with each flag, and link from every form of path to every
// form of path.
func TwoPaths() []Case {
	var list []Case
	ends := []string{
		"f", "hard", "d", "full", "full/x", "full/new", "p", "c", "tofile", "todir", "tonothing", "loop", "new",
		"f/", "d/", "full/", "todir/", "new/", "f/new", "d/new", "d/.", "d/..", "full/..", "todir/x", "missing/x", "loop/x", "", ".",
		strings.Repeat("n", nameMax), strings.Repeat("n", nameMax+1), longPath(pathMax-1, "new"), longPath(pathMax, "new"),
	}
	for _, from := range ends {
		for _, to := range ends {
			objects := zooFor(from, to)
			for _, c := range []Call{
				{Op: Rename},
				{Op: Rename, Flags: unix.RENAME_NOREPLACE},
				{Op: Rename, Flags: unix.RENAME_EXCHANGE},
				{Op: Rename, Flags: unix.RENAME_EXCHANGE | unix.RENAME_NOREPLACE},
				{Op: Link},
				{Op: Link, Flags: unix.AT_SYMLINK_FOLLOW},
			} {
				c.Path, c.To = from, to
				list = append(list, Case{Objects: objects, Calls: []Call{c}})
			}
		}
	}
	return list
}
