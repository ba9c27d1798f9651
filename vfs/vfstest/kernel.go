package vfstest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// path is where the kernel shows a name of the box; tests that need it are
// skipped without a kernel.
func (b *box) path(name string) string {
	b.Helper()
	if b.target.Dir == "" {
		b.Skip("needs a mount")
	}
	return filepath.Join(b.target.Dir, b.dir, name)
}

// testMmap reads and writes a file through memory.
func testMmap(b *box) {
	path := b.path("f")
	want := noise(1, 1<<20)
	b.put("f", want)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	b.ok(err)
	defer func() { _ = f.Close() }()
	m, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	b.ok(err)
	if !bytes.Equal(m, want) {
		b.Fatal("mapped content differs")
	}
	for i := 0; i < len(m); i += 10_000 {
		m[i] ^= 0xff
		want[i] ^= 0xff
	}
	b.ok(unix.Msync(m, unix.MS_SYNC))
	b.same("after msync", b.get("f"), want)
	m[5], want[5] = 77, 77
	b.ok(f.Close())
	b.ok(unix.Munmap(m))
	b.same("after munmap", b.get("f"), want)
	b.put("p", []byte("private"))
	g, err := os.Open(b.path("p"))
	b.ok(err)
	defer func() { _ = g.Close() }()
	q, err := unix.Mmap(int(g.Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	b.ok(err)
	q[0] = 'X'
	b.ok(unix.Munmap(q))
	b.same("private mapping", b.get("p"), []byte("private"))
}

// testMmapOfAppended: mapped pages of a file opened to append stay in place.
func testMmapOfAppended(b *box) {
	path := b.path("f")
	want := noise(1, 100_000)
	b.put("f", want)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	b.ok(err)
	defer func() { _ = f.Close() }()
	m, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	b.ok(err)
	m[7], want[7] = 1, 1
	m[70_000], want[70_000] = 2, 2
	b.ok(unix.Msync(m, unix.MS_SYNC))
	_, err = f.WriteString("appended")
	b.ok(err)
	want = append(want, "appended"...)
	b.same("after msync and append", b.get("f"), want)
	m[8], want[8] = 3, 3
	b.ok(unix.Munmap(m))
	b.ok(f.Close())
	b.same("after munmap", b.get("f"), want)
}

// nobody runs a shell command as somebody without rights.
func (b *box) nobody(script string) ([]byte, error) {
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd.CombinedOutput()
}

// testSetIDCleared: a write or a change of owner takes setuid and setgid away.
func testSetIDCleared(b *box) {
	path := b.path("f")
	b.put("f", []byte("x"))
	b.ok(b.fs.Chmod(b.p("f"), 0o6777))
	if out, err := b.nobody("echo more >> '" + path + "'"); err != nil {
		b.Fatalf("append as nobody: %v: %s", err, out)
	}
	if st := b.stat("f"); st.Mode != syscall.S_IFREG|0o777 {
		b.Fatalf("after a write by nobody the mode is %o, want 777", st.Mode)
	}
	b.ok(b.fs.Chmod(b.p("f"), 0o6777))
	b.ok(b.fs.Chown(b.p("f"), 65534, 65534))
	if st := b.stat("f"); st.Mode != syscall.S_IFREG|0o777 {
		b.Fatalf("after chown the mode is %o, want 777", st.Mode)
	}
}

// testSetIDClearedByRanges: so do holes and shared ranges.
func testSetIDClearedByRanges(b *box) {
	path := b.path("f")
	b.put("src", noise(1, 10_000))
	b.ok(b.fs.Chmod(b.p("src"), 0o644))
	for _, script := range []string{
		"fallocate -p -o 10 -l 100 '" + path + "'",
		"fallocate -l 20000 '" + path + "'",
		"cp '" + b.path("src") + "' '" + path + "'",
	} {
		b.put("f", noise(2, 10_000))
		b.ok(b.fs.Chmod(b.p("f"), 0o6777))
		if out, err := b.nobody(script); err != nil {
			b.Fatalf("%s as nobody: %v: %s", script, err, out)
		}
		if st := b.stat("f"); st.Mode != syscall.S_IFREG|0o777 {
			b.Fatalf("after %s the mode is %o, want 777", script, st.Mode)
		}
	}
}

// testPermissions: the kernel checks modes.
func testPermissions(b *box) {
	path := b.path("")
	b.put("f", []byte("secret"))
	b.ok(b.fs.Chmod(b.p("f"), 0o600))
	if out, err := b.nobody("cat '" + path + "/f'"); err == nil {
		b.Fatalf("nobody could read: %s", out)
	}
	b.ok(b.fs.Chmod(b.p("f"), 0o604))
	if out, err := b.nobody("cat '" + path + "/f'"); err != nil {
		b.Fatalf("nobody could not read: %v: %s", err, out)
	}
	b.ok(b.fs.Chmod(b.p("."), 0o755))
	if _, err := b.nobody("touch '" + path + "/g'"); err == nil {
		b.Fatal("nobody could make a file")
	}
	b.ok(b.fs.Chmod(b.p("."), 0o1777)) // sticky
	if _, err := b.nobody("rm -f '" + path + "/f'"); err == nil {
		b.Fatal("nobody could remove another's file in a sticky directory")
	}
	if out, err := b.nobody("touch '" + path + "/mine' && rm '" + path + "/mine'"); err != nil {
		b.Fatalf("nobody could not make and remove a file: %v: %s", err, out)
	}
}
