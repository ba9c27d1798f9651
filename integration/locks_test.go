package integration_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lockRange is a lock of an open file description on its first bytes.
func lockRange(f *os.File, how int, kind int16) error {
	l := unix.Flock_t{Type: kind, Len: 8}
	for {
		if err := unix.FcntlFlock(f.Fd(), how, &l); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openBoth(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A lock that one site holds is one that the other cannot have, by fcntl and by
// flock, and who waits for it at the other site gets it when it is given up.
func TestLocksHoldAtBothSites(t *testing.T) {
	s := newTwoSites(t, 10*time.Millisecond, fileBucket)
	s.runMirror()
	a, b := s.Mount("a", s.metaA), s.Mount("b", s.metaB)
	fa := openBoth(t, filepath.Join(a.Dir, "locked"))
	s.wait()
	fb := openBoth(t, filepath.Join(b.Dir, "locked"))
	for _, kind := range []struct {
		name            string
		take, try, free func(f *os.File) error
	}{
		{
			"fcntl",
			func(f *os.File) error { return lockRange(f, unix.F_OFD_SETLKW, unix.F_WRLCK) },
			func(f *os.File) error { return lockRange(f, unix.F_OFD_SETLK, unix.F_WRLCK) },
			func(f *os.File) error { return lockRange(f, unix.F_OFD_SETLK, unix.F_UNLCK) },
		},
		{
			"flock",
			func(f *os.File) error { return flock(f, unix.LOCK_EX) },
			func(f *os.File) error { return flock(f, unix.LOCK_EX|unix.LOCK_NB) },
			func(f *os.File) error { return flock(f, unix.LOCK_UN) },
		},
	} {
		for _, sides := range [][2]*os.File{{fa, fb}, {fb, fa}} {
			holder, other := sides[0], sides[1]
			must(t, kind.take(holder))
			if err := kind.try(other); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("%s: %s has the lock, and %s tries: %v, want EAGAIN", kind.name, holder.Name(), other.Name(), err)
			}
			got := make(chan error, 1)
			go func() { got <- kind.take(other) }()
			must(t, kind.free(holder))
			must(t, <-got)
			must(t, kind.free(other))
		}
	}
}

// Programs at both sites add one to a number in a file, each under a lock, while
// the link between the sites is reset and cut. Every addition that was told to have
// been made is there; those of which a program was told that they failed may be.
func TestCounterUnderLocksAtBothSites(t *testing.T) {
	s := newTwoSites(t, 5*time.Millisecond, fileBucket)
	s.runMirror()
	dirs := []string{s.Mount("a", s.metaA).Dir, s.Mount("a2", s.metaA).Dir, s.Mount("b", s.metaB).Dir, s.Mount("b2", s.metaB).Dir}
	must(t, os.WriteFile(filepath.Join(dirs[0], "counter"), []byte("0"), 0o644))
	s.wait()
	rounds := 25
	if long() {
		rounds = 400
	}
	var mu sync.Mutex
	made, failed := 0, 0
	var group sync.WaitGroup
	for _, dir := range dirs {
		group.Go(func() {
			for range rounds {
				err := addOne(filepath.Join(dir, "counter"))
				mu.Lock()
				if err == nil {
					made++
				} else {
					failed++
					if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ESTALE) {
						t.Errorf("in %s: %v, want EIO if anything", dir, err)
					}
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	disturb(s, done)
	s.wait()
	for _, dir := range dirs {
		got, err := readNumber(filepath.Join(dir, "counter"))
		must(t, err)
		if got < made || got > made+failed {
			t.Errorf("in %s the number is %d after %d additions and %d that failed", dir, got, made, failed)
		}
	}
	t.Logf("%d additions, %d failed", made, failed)
	if made < 2*rounds {
		t.Errorf("only %d of %d additions were made", made, 4*rounds)
	}
}

// disturb resets and cuts the link until done is closed, and leaves it well.
func disturb(s *twoSites, done <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		case <-time.After(300 * time.Millisecond):
		}
		if i%3 == 2 {
			s.link.Cut()
			<-time.After(200 * time.Millisecond)
			s.link.Mend()
		} else {
			s.link.Reset()
		}
	}
}

func addOne(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := lockRange(f, unix.F_OFD_SETLKW, unix.F_WRLCK); err != nil {
		return err
	}
	n, err := numberIn(f)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(n+1)), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return lockRange(f, unix.F_OFD_SETLK, unix.F_UNLCK)
}

func readNumber(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	n, err := numberIn(f)
	return n, errors.Join(err, f.Close())
}

func numberIn(f *os.File) (int, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("the counter holds %q: %w", b, err)
	}
	return n, nil
}

// What one site renames or removes, the other sees so, and a file that it has open
// stays readable there under no name.
func TestNamesHoldAtBothSites(t *testing.T) {
	s := newTwoSites(t, 5*time.Millisecond, fileBucket)
	s.runMirror()
	a, b := s.Mount("a", s.metaA), s.Mount("b", s.metaB)
	for _, sides := range [][2]string{{a.Dir, b.Dir}, {b.Dir, a.Dir}} {
		here, there := sides[0], sides[1]
		must(t, os.WriteFile(filepath.Join(here, "old"), []byte("content"), 0o644))
		must(t, os.WriteFile(filepath.Join(here, "over"), []byte("replaced"), 0o644))
		s.wait()
		open := openBoth(t, filepath.Join(there, "old"))
		replaced := openBoth(t, filepath.Join(there, "over"))
		must(t, os.Rename(filepath.Join(here, "old"), filepath.Join(here, "over")))
		s.wait()
		if got, err := freshly(func() ([]byte, error) { return os.ReadFile(filepath.Join(there, "over")) }, "content"); err != nil {
			t.Errorf("the new name holds %q, %v", got, err)
		}
		must(t, os.Remove(filepath.Join(here, "over")))
		s.wait()
		for f, want := range map[*os.File]string{open: "content", replaced: "replaced"} {
			got, err := io.ReadAll(f)
			if err != nil || string(got) != want {
				t.Errorf("%s, open and without a name, holds %q, %v, want %q", f.Name(), got, err, want)
			}
		}
		if _, err := freshly(func() ([]byte, error) {
			_, err := os.Lstat(filepath.Join(there, "over"))
			if errors.Is(err, os.ErrNotExist) {
				return []byte("gone"), nil
			}
			return nil, err
		}, "gone"); err != nil {
			t.Errorf("a removed name is still there: %v", err)
		}
	}
}

// freshly asks until the answer is as wanted: a kernel believes for a second in the
// name that it has seen last, and a busy machine takes its time.
func freshly(ask func() ([]byte, error), want string) ([]byte, error) {
	const hung = time.Minute
	for start := time.Now(); ; <-time.After(50 * time.Millisecond) {
		got, err := ask()
		if err == nil && string(got) == want {
			return got, nil
		}
		if time.Since(start) > hung {
			return got, fmt.Errorf("still so after %v: %w", hung, errors.Join(err, errNotAsWanted))
		}
	}
}

var errNotAsWanted = errors.New("not as wanted")
