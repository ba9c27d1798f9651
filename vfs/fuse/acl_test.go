package fuse_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mirrorfs/meta"
)

// tmpfs mounts the kernel's own file system, which is known to be right.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// aclStep does something with a path, and tells what came of it.
type aclStep struct {
	what string
	path string
	do   func(path string) error
}

// TestACLsAreLinuxs does random things with ACLs and modes here and on tmpfs, and
// wants the same of both.
func TestACLsAreLinuxs(t *testing.T) {
	p := mount(t, childConfig{})
	seed := uint64(1)
	if text := os.Getenv("MIRRORFS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	} else if os.Getenv("MIRRORFS_LONG") != "" {
		seed = rand.Uint64()
	}
	steps := 600
	if os.Getenv("MIRRORFS_LONG") != "" {
		steps = 20_000
	}
	rng := rand.New(rand.NewPCG(seed, 9))
	ours, linux := p.Dirs[0], tmpfs(t)
	defer unix.Umask(unix.Umask(0))
	paths := []string{"."}
	for i := range steps {
		s := randomACLStep(rng, i, paths)
		got, want := s.do(filepath.Join(ours, s.path)), s.do(filepath.Join(linux, s.path))
		after, before := aclState(filepath.Join(ours, s.path)), aclState(filepath.Join(linux, s.path))
		if errnoText(got) != errnoText(want) || after != before {
			t.Fatalf("seed %d (MIRRORFS_SEED=%d), step %d, %s of %s: tmpfs says\n%v\n%s\nand we\n%v\n%s", seed, seed, i, s.what, s.path, want, before, got, after)
		}
		if want == nil && strings.HasPrefix(s.what, "make") {
			paths = append(paths, s.path)
		}
	}
	for _, path := range paths {
		if a, b := aclState(filepath.Join(ours, path)), aclState(filepath.Join(linux, path)); a != b {
			t.Errorf("%s: tmpfs says\n%s\nand we\n%s", path, b, a)
		}
	}
}

func errnoText(err error) string { return fmt.Sprint(err) }

// aclState is what programs see of an inode's rights.
func aclState(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	buf := make([]byte, 64<<10)
	for _, name := range []string{meta.XattrACL, meta.XattrDefaultACL} {
		n, err := unix.Lgetxattr(path, name, buf)
		text += fmt.Sprintf("\n%s %x %v", name, buf[:max(n, 0)], err)
	}
	n, err := unix.Llistxattr(path, buf)
	names := strings.Split(string(buf[:max(n, 0)]), "\x00")
	slices.Sort(names)
	return text + fmt.Sprintf("\n%q %v", names, err)
}

func randomACLStep(rng *rand.Rand, i int, paths []string) aclStep {
	path := paths[rng.IntN(len(paths))]
	mode := uint32(rng.IntN(0o10000))
	name := meta.XattrACL
	if rng.IntN(2) == 0 {
		name = meta.XattrDefaultACL
	}
	switch n := rng.IntN(20); {
	case n < 7:
		value := randomACL(rng)
		return aclStep{"set " + name + fmt.Sprintf(" %x", value), path, func(p string) error { return unix.Lsetxattr(p, name, value, 0) }}
	case n < 8:
		return aclStep{"remove " + name, path, func(p string) error { return unix.Lremovexattr(p, name) }}
	case n < 11:
		return aclStep{fmt.Sprintf("chmod %o", mode), path, func(p string) error { return unix.Chmod(p, mode) }}
	case n < 12:
		gid := rng.IntN(3)
		return aclStep{"chown", path, func(p string) error { return unix.Lchown(p, 0, gid) }}
	default:
		return randomMake(rng, i, path, mode)
	}
}

func randomMake(rng *rand.Rand, i int, dir string, mode uint32) aclStep {
	path, umask := filepath.Join(dir, strconv.Itoa(i)), rng.IntN(0o1000)
	under := func(make func(p string) error) func(p string) error {
		return func(p string) error {
			defer unix.Umask(unix.Umask(umask))
			return make(p)
		}
	}
	what := fmt.Sprintf("make (mode %o, umask %o)", mode, umask)
	switch rng.IntN(5) {
	case 0, 1:
		return aclStep{what, path, under(func(p string) error { return unix.Mkdir(p, mode) })}
	case 2:
		return aclStep{what, path, under(func(p string) error { return unix.Mknod(p, unix.S_IFIFO|mode&0o777, 0) })}
	case 3:
		return aclStep{what, path, under(func(p string) error { return unix.Symlink("nowhere", p) })}
	default:
		return aclStep{what, path, under(func(p string) error {
			fd, err := unix.Open(p, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, mode&0o777)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		})}
	}
}

// randomACL is the value of an ACL, now and then one that Linux refuses.
func randomACL(rng *rand.Rand) []byte {
	const nobody = 1<<32 - 1
	entry := func(tag uint16, id uint32) meta.ACLEntry {
		return meta.ACLEntry{Tag: tag, Perm: uint16(rng.IntN(8)), ID: id}
	}
	acl := meta.ACL{entry(meta.ACLUserObj, nobody)}
	users, groups := rng.IntN(3), rng.IntN(3)
	for i := range users {
		acl = append(acl, entry(meta.ACLUser, uint32(i)))
	}
	acl = append(acl, entry(meta.ACLGroupObj, nobody))
	for i := range groups {
		acl = append(acl, entry(meta.ACLGroup, uint32(i)))
	}
	if users+groups > 0 || rng.IntN(2) == 0 {
		acl = append(acl, entry(meta.ACLMask, nobody))
	}
	acl = append(acl, entry(meta.ACLOther, nobody))
	switch at := rng.IntN(len(acl)); rng.IntN(16) {
	case 0:
		acl = append(acl[:at], acl[at+1:]...)
	case 1:
		acl[at].Perm |= 8
	case 2:
		acl = append(acl, acl[at])
	case 3:
		return append(meta.AppendACL(nil, acl), 0)
	}
	return meta.AppendACL(nil, acl)
}

// TestACLsAreInForce: the kernel goes by ACLs, and the programs that people use
// show them.
func TestACLsAreInForce(t *testing.T) {
	p := mount(t, childConfig{})
	dir := p.Dirs[0]
	run := func(uid, gid uint32, script string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(limited(t), "sh", "-c", script)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(uid uint32, script, want string) {
		t.Helper()
		if out, err := run(uid, uid, script); err != nil || !strings.Contains(out, want) {
			t.Fatalf("%s as %d: %v\n%s", script, uid, err, out)
		}
	}
	refused := func(uid uint32, script string) {
		t.Helper()
		if out, err := run(uid, uid, script); err == nil || !strings.Contains(out, "denied") {
			t.Fatalf("%s as %d should be denied: %v\n%s", script, uid, err, out)
		}
	}
	must(0, "mkdir d && echo secret > d/f && chmod 750 d && chmod 640 d/f", "")
	refused(1001, "cat d/f")
	must(0, "setfacl -m u:1001:rx d && setfacl -m u:1001:rw d/f", "")
	must(1001, "cat d/f && echo more >> d/f", "secret")
	refused(1002, "cat d/f")
	must(0, "chmod g-w d/f && getfacl -cn d/f", "#effective:r--")
	refused(1001, "echo more >> d/f")
	must(0, "setfacl -d -m u:1002:rwx d && umask 077 && mkdir d/sub && getfacl -cn d/sub", "default:user:1002:rwx")
	must(0, "stat -c %a d/sub", "770")
	must(0, "cp -a d e && getfacl -cn e/f", "user:1001:rw-")
	must(0, "setfacl -b d/f && getfacl -cn d/f && ls -l d/f", "-rw-r-----")
	refused(1001, "cat d/f")
}
