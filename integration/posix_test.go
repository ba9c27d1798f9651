package integration_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"mirrorfs/integration/harness"
	"mirrorfs/integration/posix"
)

// known are the transcripts in which we may differ from tmpfs, and why.
var known = []struct {
	transcript *regexp.Regexp
	why        string
}{
	{
		regexp.MustCompile(`(?s)(write|open|truncate|chown)\("x".*file 2767`),
		"setgid without group execution falls away when the caller is not of the group: of the caller, FUSE tells a file system only one group, and the protocol says to keep it",
	},
	{
		regexp.MustCompile(`(member|other|owner): chown\("x", -1, -1.*(\n.*)+"x": file [2467]7`),
		"the kernel asks the same of us before a write, which must not fail; so we change nothing where tmpfs says EPERM",
	},
}

// allCases are the generated cases by name.
func allCases() map[string][]posix.Case {
	return map[string][]posix.Case{
		"OnePath":    posix.OnePath(),
		"TwoPaths":   posix.TwoPaths(),
		"Rights":     posix.Rights(),
		"Renames":    posix.Renames(),
		"Attributes": posix.Attributes(),
	}
}

// sample takes one of n cases, by a seed.
func sample(seed uint64, cases []posix.Case, n int) []posix.Case {
	if n <= 1 {
		return cases
	}
	rng := rand.New(rand.NewPCG(seed, 9))
	var list []posix.Case
	for _, c := range cases {
		if rng.IntN(n) == 0 {
			list = append(list, c)
		}
	}
	return list
}

// tmpfs mounts the kernel's own file system, with the options of our mounts.
func tmpfs(t *testing.T, w *harness.World) string {
	t.Helper()
	dir := w.Dir("reference")
	must(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// Every call does on a volume what it does on tmpfs: the same results for
// everybody, and the same effects.
func TestPosixLikeTmpfs(t *testing.T) {
	w := harness.New(t, program)
	meta := w.Redis()
	w.Run("format", meta, "vol", "--bucket", w.FileBucket("bucket"))
	m := w.Mount("m", meta)
	reference := tmpfs(t, w)
	seed, one := seedOf(t), 10
	if long() {
		one = 1
	}
	for group, cases := range allCases() {
		t.Run(group, func(t *testing.T) {
			compareCases(t, sample(seed, cases, one),
				&posix.Runner{Dir: subdir(t, reference, group)}, &posix.Runner{Dir: subdir(t, m.Dir, group)})
		})
	}
}

// What programs at a mirror do has at the source the effect that it has on tmpfs.
func TestPosixAtMirrorLikeTmpfs(t *testing.T) {
	s := newTwoSites(t, 0, fileBucket)
	s.runMirror()
	a, b := s.Mount("a", s.metaA), s.Mount("b", s.metaB)
	reference := tmpfs(t, s.World)
	seed, one := seedOf(t), 60
	if long() {
		one = 5
	}
	for group, cases := range allCases() {
		t.Run(group, func(t *testing.T) {
			compareCases(t, sample(seed, cases, one),
				&posix.Runner{Dir: subdir(t, reference, group)},
				&posix.Runner{Dir: subdir(t, b.Dir, group), View: filepath.Join(a.Dir, group), Settle: func() error { return nil }})
		})
	}
}

func subdir(t *testing.T, dir, name string) string {
	t.Helper()
	dir = filepath.Join(dir, name)
	must(t, os.Mkdir(dir, 0o755))
	return dir
}

// compareCases runs cases on both, and reports where they differ.
func compareCases(t *testing.T, cases []posix.Case, reference, ours *posix.Runner) {
	t.Helper()
	want, err := reference.Run(cases)
	must(t, err)
	got, err := ours.Run(cases)
	must(t, err)
	const most = 25
	different := 0
	for i := range cases {
		if got[i] == want[i] || explained(got[i]) {
			continue
		}
		if different++; different <= most {
			t.Errorf("on tmpfs:\n%son the volume:\n%s", want[i], got[i])
		}
	}
	t.Logf("%d cases, %d different", len(cases), different)
}

func explained(transcript string) bool {
	for _, k := range known {
		if k.transcript.MatchString(transcript) {
			return true
		}
	}
	return false
}
