package chaos_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorfs/cmd/mirrorfs/tree"
	"mirrorfs/integration/harness"
	"mirrorfs/meta"
	"mirrorfs/meta/dump"
	"mirrorfs/meta/model"
)

// lostStep is a call that a writer was told is done, and that is not.
type lostStep struct {
	writer *writer
	step   *step
}

// judge compares everything with everything, when all is mended. It returns what is missing of
// what writers were told is done, which can only be what may be lost.
func (v *volume) judge(writers []*writer) (lost []lostStep) {
	v.t.Helper()
	for _, s := range v.mirrors() {
		v.wait(s)
	}
	for _, w := range writers {
		missing := w.check(v.t, v.source.access.Load())
		for _, s := range v.mirrors() {
			if n := len(w.check(v.t, s.access.Load())); n != len(missing) {
				v.t.Errorf("%s: %d calls are missing at site %s, %d at the source %s", w.dir, n, s.name, len(missing), v.source.name)
			}
		}
		for i := range missing {
			lost = append(lost, lostStep{w, &missing[i]})
		}
	}
	v.publishing.Lock()
	defer v.publishing.Unlock()
	for _, s := range v.mirrors() {
		v.sameTrees(s)
		v.sameRows(s)
		v.clean(s, "mirror", "verify", s.meta(), "--deep")
	}
	for _, s := range v.sites {
		v.clean(s, "fsck", s.meta(), "--deep")
	}
	return lost
}

func (v *volume) clean(s *site, args ...string) {
	v.t.Helper()
	if r := s.program.Try(args...); r.Code != 0 {
		v.t.Errorf("at site %s, mirrorfs %s: exit code %d\n%s%s", s.name, strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
}

// still does what compares two sites again until neither has moved meanwhile: a mount may commit
// what it kept during a cut, or look after what is to be cleaned up.
func (v *volume) still(what string, s *site, compare func() error) {
	v.t.Helper()
	var err error
	harness.Eventually(v.t, what, hang, func() bool {
		v.wait(s)
		before := v.status(s)
		err = compare()
		after := v.status(s)
		return err == nil || before.Position == after.Position && before.Applied == after.Applied && before.Applied == before.Position
	})
	if err != nil {
		v.t.Errorf("%s: %v", what, err)
	}
}

// sameTrees compares what programs see at a mirror and at the source, to the last byte.
func (v *volume) sameTrees(s *site) {
	v.t.Helper()
	v.still("trees of "+s.name+" and of the source", s, func() error {
		report, err := tree.Compare(v.t.Context(), v.source.mount.Dir, s.mount.Dir, tree.Options{})
		if err == nil && report.Different > 0 {
			err = fmt.Errorf("%d differences:\n%s", report.Different, strings.Join(report.Differences, "\n"))
		}
		return err
	})
}

// sameRows compares all rows of a mirror and of the source, as dumps of both have them.
func (v *volume) sameRows(s *site) {
	v.t.Helper()
	v.still("rows of "+s.name+" and of the source", s, func() error {
		at, want := v.rows(v.source)
		and, got := v.rows(s)
		if at != and {
			return fmt.Errorf("dumps are of %s and %s", at, and)
		}
		return differingRows(want, got)
	})
}

func differingRows(want, got [][]byte) error {
	only := func(these, those [][]byte) (list []string) {
		for _, row := range these {
			if _, ok := slices.BinarySearchFunc(those, row, bytes.Compare); !ok {
				list = append(list, fmt.Sprintf("%q", row))
			}
		}
		return list
	}
	missing, more := only(want, got), only(got, want)
	if len(missing)+len(more) == 0 {
		return nil
	}
	return fmt.Errorf("of %d rows %d are missing:\n%s\nand of %d rows the source does not have %d:\n%s", len(want), len(missing),
		strings.Join(missing[:min(10, len(missing))], "\n"), len(got), len(more), strings.Join(more[:min(10, len(more))], "\n"))
}

// rows dumps a site's metadata, and gives all rows of it, sorted.
func (v *volume) rows(s *site) (meta.Position, [][]byte) {
	v.t.Helper()
	file := filepath.Join(v.t.TempDir(), "dump")
	s.program.Run("dump", s.meta(), file)
	f, err := os.Open(file)
	must(v.t, err)
	defer func() { _ = f.Close() }()
	to := model.NewReplica(nil)
	summary, err := dump.Load(v.t.Context(), io.Reader(f), func(context.Context, meta.Volume) (dump.Target, error) { return to, nil }, dump.Options{})
	must(v.t, err)
	return summary.Position, sortedRows(v.t, to)
}

func sortedRows(t *testing.T, e *model.Engine) (all [][]byte) {
	t.Helper()
	var cursor meta.Cursor
	for {
		b, err := e.Scan(t.Context(), cursor, 500)
		must(t, err)
		effects, err := meta.DecodeEffects(b.Effects)
		must(t, err)
		for i := range effects {
			all = append(all, meta.AppendEffect(nil, &effects[i]))
		}
		if cursor = b.Next; cursor == nil {
			break
		}
	}
	slices.SortFunc(all, bytes.Compare)
	return all
}
