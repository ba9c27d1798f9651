package posix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// batch is how many boxes are made before their calls: the clock of some file
// systems has coarse ticks, and one must pass in between.
const batch = 64

// Runner runs cases on one file system.
type Runner struct {
	// Dir is an empty directory of the file system, as root sees it.
	Dir string
	// View, if not empty, is the same directory through another client: what the
	// calls left is looked at there, after Settle.
	View string
	// Settle returns when the view shows what was done.
	Settle func() error
}

// Run runs cases and returns their transcripts, in the same order. It runs as root.
func (r *Runner) Run(cases []Case) ([]string, error) {
	if !isRoot() {
		return nil, errors.New("only root can become other users")
	}
	w, err := newWorker()
	if err != nil {
		return nil, err
	}
	defer w.stop()
	defer unix.Umask(unix.Umask(0))                // of the process, for the time being
	if err := os.Chmod(r.Dir, 0o755); err != nil { //nolint:gosec // every user of a case must get through
		return nil, err
	}
	var all []string
	for from := 0; from < len(cases); from += batch {
		list, err := r.batch(w, from, cases[from:min(from+batch, len(cases))])
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func (r *Runner) batch(w *worker, from int, cases []Case) ([]string, error) {
	var boxes []*box
	var latest unix.Timespec
	for i := range cases {
		b, err := newBox(filepath.Join(r.Dir, name(from+i)), &cases[i])
		if err != nil {
			return nil, fmt.Errorf("make the box of %v: %w", cases[i].Calls, err)
		}
		boxes = append(boxes, b)
		if t := b.latest(); after(t, latest) {
			latest = t
		}
	}
	if err := tick(latest); err != nil {
		return nil, err
	}
	for _, b := range boxes {
		var err error
		w.do(func() { err = b.run(w) })
		if err != nil {
			return nil, err
		}
	}
	view := r.Dir
	if r.View != "" {
		view = r.View
		if err := r.Settle(); err != nil {
			return nil, err
		}
	}
	var told []string
	for i, b := range boxes {
		text, err := b.look(filepath.Join(view, name(from+i)))
		if err != nil {
			return nil, fmt.Errorf("look at what %v left: %w", cases[i].Calls, err)
		}
		told = append(told, text)
	}
	return told, nil
}

func name(i int) string { return fmt.Sprintf("%06d", i) }

// tick waits until the kernel's coarse clock, of which many file systems take their
// times, is past t.
func tick(t unix.Timespec) error {
	for {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
			return err
		}
		if after(now, t) {
			return nil
		}
	}
}
