package integration_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mirrorfs/integration/harness"
)

// programTimeout ends a program that hangs.
const programTimeout = 10 * time.Minute

// place is a directory of a mount where a program works.
type place struct {
	*testing.T
	dir string
	env []string
	as  *syscall.Credential // nil: as we are
}

// run runs a program in the place to its end, which must be success, and returns
// what it printed.
func (p *place) run(name string, args ...string) string {
	p.Helper()
	out, err := p.try(name, args...)
	if err != nil {
		p.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(out))
	}
	return out
}

func (p *place) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func tail(s string) string { return s[max(0, len(s)-4096):] }

// path is below the place.
func (p *place) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// programs are what people run, each with its own proof that all is right.
func programs() map[string]func(p *place) {
	return map[string]func(p *place){
		"git": git, "go": goBuild, "sqlite3": sqlite, "rsync": rsync, "tar": tarBothWays,
		"postgresql": postgres, "fio": fio, "stress-ng": stressNG,
	}
}

// Programs work on a source as on a disk.
func TestPrograms(t *testing.T) {
	w := harness.New(t, program)
	meta := w.Redis()
	w.Run("format", meta, "vol", "--bucket", w.FileBucket("bucket"))
	m := w.Mount("m", meta)
	all := programs()
	if !long() {
		delete(all, "go") // it compiles the standard library first
	}
	runPrograms(t, m.Dir, all)
}

// Programs work at a mirror, where each change goes to the source.
func TestProgramsAtMirror(t *testing.T) {
	s := newTwoSites(t, time.Millisecond, fileBucket)
	s.runMirror()
	b := s.Mount("b", s.metaB)
	all := programs()
	if !long() {
		for name := range all {
			if !slices.Contains([]string{"git", "sqlite3", "tar"}, name) {
				delete(all, name)
			}
		}
	}
	runPrograms(t, b.Dir, all)
}

func runPrograms(t *testing.T, dir string, programs map[string]func(p *place)) {
	t.Helper()
	must(t, os.Chmod(dir, 0o755))
	for name, run := range programs {
		t.Run(name, func(t *testing.T) {
			run(&place{T: t, dir: subdir(t, dir, name)})
		})
	}
}

// sampleTree is a tree of files from which programs take what they need.
func sampleTree(t *testing.T) string {
	if long() {
		return goSource(t)
	}
	return filepath.Join(goSource(t), "encoding")
}

// samplePart is a directory of the sample tree.
func samplePart() string {
	if long() {
		return "encoding/json"
	}
	return "json"
}

// git commits a tree, clones it, packs it, and checks every object.
func git(p *place) {
	p.env = []string{
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
	}
	p.run("cp", "-r", sampleTree(p.T), "origin")
	p.run("git", "-C", "origin", "init", "-q")
	p.run("git", "-C", "origin", "add", "-A")
	p.run("git", "-C", "origin", "commit", "-qm", "all")
	p.run("git", "clone", "-q", "--no-local", "origin", "copy")
	p.run("git", "-C", "copy", "gc", "-q", "--aggressive", "--prune=now")
	p.run("git", "-C", "copy", "fsck", "--full", "--strict")
	p.run("git", "-C", "copy", "checkout", "-q", "-b", "other")
	p.run("git", "-C", "copy", "mv", samplePart(), "moved")
	p.run("git", "-C", "copy", "commit", "-qam", "moved")
	p.run("git", "-C", "copy", "checkout", "-q", "HEAD^")
	if out := p.run("git", "-C", "copy", "status", "--porcelain"); out != "" {
		p.Errorf("a checkout of all is not clean:\n%s", out)
	}
	p.run("rm", "-rf", "origin/.git", "copy/.git")
	p.run("diff", "-r", "origin", "copy")
}

// goBuild builds this project with the compiler's cache and the result on the
// mount. The second time there is nothing to do.
func goBuild(p *place) {
	here, err := os.Getwd()
	must(p.T, err)
	dir := p.dir
	p.env = []string{"GOCACHE=" + p.path("cache"), "GOTMPDIR=" + dir, "GOFLAGS=-mod=mod", "CGO_ENABLED=0"}
	p.dir = filepath.Dir(here)
	const what = "./cmd/mirrorfs"
	p.run("go", "build", "-o", filepath.Join(dir, "out"), what)
	if again := p.run("go", "build", "-x", "-o", filepath.Join(dir, "again"), what); strings.Contains(again, "/compile ") {
		p.Errorf("the second build found no cache:\n%s", tail(again))
	}
}

// sqlite has two processes write one database at a time, with a write-ahead log,
// which they share by mapped memory and locks.
func sqlite(p *place) {
	const rows = 200
	p.run("sqlite3", "db", "pragma journal_mode=wal; create table t(who, n, filler); create index i on t(n);")
	var both sync.WaitGroup
	for who := range 2 {
		both.Go(func() {
			var script strings.Builder
			script.WriteString(".timeout 60000\n.bail on\n")
			for n := range rows {
				fmt.Fprintf(&script, "insert into t values(%d, %d, hex(randomblob(300)));\n", who, n)
			}
			name := fmt.Sprintf("script%d", who)
			if err := os.WriteFile(p.path(name), []byte(script.String()), 0o600); err != nil {
				p.Error(err)
			}
			if out, err := p.try("sqlite3", "db", ".read "+name); err != nil || out != "" {
				p.Errorf("process %d: %v\n%s", who, err, tail(out))
			}
		})
	}
	both.Wait()
	want := fmt.Sprintf("ok\n%d\n", 2*rows)
	if out := p.run("sqlite3", "db", "pragma integrity_check; select count(*) from t;"); out != want {
		p.Errorf("after two processes wrote: %q, want %q", out, want)
	}
}

// rsync copies a tree; the second time nothing, then only what has changed. Times
// are compared to the nanosecond, not to the second as usual.
func rsync(p *place) {
	from := p.TempDir()
	p.run("cp", "-r", sampleTree(p.T)+"/.", from)
	sync := func() string {
		return p.run("rsync", "-a", "--delete", "--modify-window=-1", "--itemize-changes", from+"/", p.path("to")+"/")
	}
	sync()
	compare(p.T, from, p.path("to"))
	if out := sync(); out != "" {
		p.Errorf("the second time it copied\n%s", tail(out))
	}
	must(p.T, os.RemoveAll(filepath.Join(from, samplePart())))
	must(p.T, os.WriteFile(filepath.Join(from, "new"), []byte("new"), 0o640))
	sync()
	compare(p.T, from, p.path("to"))
	if out := p.run("rsync", "-a", "--delete", "--checksum", "--itemize-changes", p.path("to")+"/", from+"/"); out != "" {
		p.Errorf("the way back copied\n%s", tail(out))
	}
}

// tarBothWays packs what is on a disk into the mount, unpacks it there, and packs
// that again: tar finds no difference.
func tarBothWays(p *place) {
	from := sampleTree(p.T)
	p.run("tar", "-cf", "in.tar", "-C", from, ".")
	must(p.T, os.Mkdir(p.path("tree"), 0o755))
	p.run("tar", "-xf", "in.tar", "-C", "tree")
	p.run("tar", "-df", "in.tar", "-C", "tree")
	out := filepath.Join(p.TempDir(), "out.tar")
	p.run("tar", "-cf", out, "-C", "tree", ".")
	p.run("tar", "-df", out, "-C", from)
	p.run("rm", "-rf", "tree")
}

// postgres makes a database with checksums in its pages, lets several clients
// work in it, ends it as a crash does, and has it recover.
func postgres(p *place) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	must(p.T, err)
	if len(found) == 0 {
		p.Fatal("this test needs PostgreSQL (Debian: apt-get install postgresql)")
	}
	bin := func(name string) string { return filepath.Join(found[len(found)-1], name) }
	p.as = credential(p.T, "postgres")
	must(p.T, os.Chown(p.dir, int(p.as.Uid), int(p.as.Gid)))
	p.env = []string{"LC_ALL=C", "PGHOST=" + p.path(), "PGDATABASE=postgres", "PGUSER=postgres"}
	p.run(bin("initdb"), "--data-checksums", "--no-locale", "-U", "postgres", "-D", "data")
	start := []string{"-D", "data", "-w", "-t", "120", "-l", "log", "-o", "-c listen_addresses= -c unix_socket_directories=" + p.path(), "start"}
	stop := func(how string) { p.run(bin("pg_ctl"), "-D", "data", "-w", "-t", "120", "-m", how, "stop") }
	p.Cleanup(func() { _, _ = p.try(bin("pg_ctl"), "-D", "data", "-w", "-m", "immediate", "stop") })

	transactions := 50
	if long() {
		transactions = 1000
	}
	p.run(bin("pg_ctl"), start...)
	p.run(bin("pgbench"), "-i", "-s", "1", "-q")
	p.run(bin("pgbench"), "-c", "4", "-j", "2", "-t", strconv.Itoa(transactions))
	stop("immediate") // no checkpoint: the log has to be replayed
	p.run(bin("pg_ctl"), start...)
	want := strconv.Itoa(4*transactions) + "\n"
	if got := p.run(bin("psql"), "-Atc", "select count(*) from pgbench_history"); got != want {
		p.Errorf("%q transactions after recovery, want %q", got, want)
	}
	p.run(bin("psql"), "-Atc", "create extension if not exists amcheck; select bt_index_check(oid, true) from pg_class where relkind = 'i' and relname like 'pgbench%'")
	stop("fast")
	p.run(bin("pg_checksums"), "--check", "-D", "data")
}

func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	must(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// fio writes blocks that tell where they belong, in random order and by several
// interfaces, and reads them back.
func fio(p *place) {
	size := "8M"
	if long() {
		size = "256M"
	}
	for _, how := range [][]string{
		{"--ioengine=psync", "--rw=randwrite", "--bsrange=1k-64k"},
		{"--ioengine=psync", "--rw=randrw", "--bs=4k", "--direct=1"},
		{"--ioengine=psync", "--rw=write", "--bs=256k", "--fsync=8"},
		{"--ioengine=mmap", "--rw=randwrite", "--bs=4k"},
		{"--ioengine=libaio", "--iodepth=16", "--rw=randwrite", "--bs=16k"},
	} {
		args := append([]string{"--name=job", "--numjobs=2", "--size=" + size, "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--group_reporting"}, how...)
		p.run("fio", args...)
		p.run("sh", "-c", "rm -f job.*")
	}
}

// stressNG runs its file system stressors, each of which checks what it can.
func stressNG(p *place) {
	seconds := "4"
	if long() {
		seconds = "30"
	}
	args := []string{"--verify", "--timeout", seconds, "--temp-path", p.path()}
	for _, stressor := range []string{
		"access", "chdir", "chmod", "chown", "dentry", "dir", "dirdeep", "dirmany", "fcntl", "file-ioctl", "filename",
		"flock", "fstat", "getdent", "hdd", "io", "iomix", "link", "locka", "lockf", "lockofd", "mknod", "open", "readahead", "rename",
		"seek", "sync-file", "symlink", "touch", "utime", "xattr",
	} {
		args = append(args, "--"+stressor, "1")
	}
	args = append(args, "--hdd-bytes", "4M", "--iomix-bytes", "4M", "--seek-size", "4M", "--sync-file-bytes", "4M", "--readahead-bytes", "4M")
	p.run("stress-ng", args...)
}
