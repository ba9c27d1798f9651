package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/integration/harness"
)

// farSource is a mirror that reaches its source's metadata and its bucket over a link each.
type farSource struct {
	*harness.World
	metaA, metaB string
	links        []*wan.Link
	a            *harness.Mount
}

func newFarSource(t *testing.T) *farSource {
	t.Helper()
	s := &farSource{World: harness.New(t, program)}
	bucket := s.FarBuckets(0, "models-a")[0]
	s.metaA, s.metaB = s.Redis(), s.Redis()
	link, aFromB := s.Link(s.metaA, 0)
	s.links = []*wan.Link{link, bucket.Link}
	s.Run("format", s.metaA, "vol", "--bucket", bucket.Addr)
	s.Run("mirror", "add", aFromB, s.metaB, "--site", "b")
	s.Start("mirror", "run", s.metaB)
	s.a = s.Mount("a", s.metaA)
	return s
}

// mount mounts the mirror with a time that it may wait.
func (s *farSource) mount(name, timeout string) *harness.Mount {
	return s.Mount(name, s.metaB, "--source-timeout", timeout, "--bucket-timeout", timeout, "--entry-timeout", "0", "--attr-timeout", "0", "--read-ahead", "4KiB")
}

// prepare makes a directory for each call, and has the mount read what is to be near.
func (s *farSource) prepare(t *testing.T, at *harness.Mount, run string, calls []systemCall) []*caller {
	t.Helper()
	for _, c := range calls {
		dir := filepath.Join(s.a.Dir, run, strings.ReplaceAll(c.name, " ", "_"))
		must(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o755))
		for _, name := range []string{"near", "far", "old"} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(name, 3000)), 0o644))
		}
		must(t, unix.Setxattr(filepath.Join(dir, "near"), "user.a", []byte("v"), 0))
	}
	s.Run("mirror", "wait", s.metaB, "--timeout", "5m")
	var callers []*caller
	for _, c := range calls {
		dir := filepath.Join(at.Dir, run, strings.ReplaceAll(c.name, " ", "_"))
		harness.Eventually(t, "a read while all is well, on a machine however slow", 3*time.Minute, func() bool {
			got, err := os.ReadFile(filepath.Join(dir, "near"))
			return err == nil && len(got) > 0
		})
		callers = append(callers, newCaller(t, c, dir))
	}
	return callers
}

func (s *farSource) each(do func(*wan.Link)) {
	for _, l := range s.links {
		do(l)
	}
}

// Every system call through a mount of a mirror that has lost its source and its bucket ends by itself,
// with what docs/consistency.md says, however the link is lost: reads of what is here go on, what is elsewhere
// fails, and nothing is ever empty that is not. Afterwards all goes on without anybody's doing.
func TestPromise09EverySystemCallDuringACut(t *testing.T) {
	s := newFarSource(t)
	b := s.mount("b", "1s")
	type cut struct {
		name string
		make func(*wan.Link)
	}
	cuts := []cut{{"half-open", (*wan.Link).Cut}, {"nothing comes back", (*wan.Link).CutBack}, {"refused", (*wan.Link).Refuse}}
	if long() {
		cuts = append(cuts, cut{"nothing arrives there", (*wan.Link).CutThere})
	}
	for _, cut := range cuts {
		callers := s.prepare(t, b, cut.name, systemCalls())
		s.each(cut.make)
		for _, c := range callers {
			c.begin(t)
		}
		for _, c := range callers {
			want := "got " + gave(c.want)
			if got := c.says(t); got != want {
				t.Errorf("%s: %s says %q, want %q", cut.name, c.name, got, want)
			}
		}
		s.each((*wan.Link).Mend)
		harness.Eventually(t, "changes and far reads after "+cut.name, 3*time.Minute, func() bool {
			dir := filepath.Join(b.Dir, cut.name, "stat")
			got, err := os.ReadFile(filepath.Join(dir, "far"))
			return err == nil && len(got) == 9000 && os.WriteFile(filepath.Join(dir, "after"), []byte("after"), 0o644) == nil
		})
	}
	s.Run("mirror", "wait", s.metaB, "--timeout", "5m")
	compare(t, s.a.Dir, b.Dir)
}

// Who waits for anything during a cut is gone at once when it is killed: the time that the mount would wait is far
// longer than the test. What they began has happened as a whole, or not at all.
func TestPromise09KilledWhileWaiting(t *testing.T) {
	s := newFarSource(t)
	b := s.mount("b", "1h")
	var far []systemCall
	for _, c := range systemCalls() {
		if c.want != nil && c.name != "fsync" && c.name != "close" {
			far = append(far, c)
		}
	}
	callers := s.prepare(t, b, "killed", append(far, dirtyCalls()...))
	s.each((*wan.Link).Cut)
	for _, c := range callers {
		c.begin(t)
		harness.Eventually(t, c.name+" to wait", 3*time.Minute, c.waits)
		must(t, c.cmd.Process.Kill())
		if got := c.says(t); got != "" {
			t.Errorf("%s says %q after it was killed", c.name, got)
		}
	}
	b.Crash() // what it waits for an hour for would keep it
	s.each((*wan.Link).Mend)
	again := s.mount("again", "10s")
	harness.Eventually(t, "a change at the mirror", 3*time.Minute, func() bool {
		return os.WriteFile(filepath.Join(again.Dir, "after"), []byte("after"), 0o644) == nil
	})
	renamed := filepath.Join(s.a.Dir, "killed", "rename")
	if gone, unmade := missing(filepath.Join(renamed, "old")), missing(filepath.Join(renamed, "moved")); gone == unmade {
		t.Errorf("after a rename whose program was killed: the old name is gone: %v, there is no new one: %v", gone, unmade)
	}
	s.Run("mirror", "wait", s.metaB, "--timeout", "5m")
	compare(t, s.a.Dir, again.Dir)
	s.Run("fsck", s.metaA, "--deep")
}

func missing(name string) bool {
	_, err := os.Lstat(name)
	return errors.Is(err, os.ErrNotExist)
}
