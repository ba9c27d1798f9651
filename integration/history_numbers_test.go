package integration_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"mirrorfs/meta"
)

// number is a file that one mount writes higher and higher numbers to, and all read.
type number struct {
	file string

	mu       sync.Mutex
	begun    int64 // the last of which writing began
	written  int64 // the last of which the program was told that it is durable
	doubtful map[int64]bool
}

// limits are what may be read now at the source, and what may have been begun.
func (n *number) limits() (written, begun int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written, n.begun
}

// write writes the next number and makes it durable.
func (n *number) write(dir string) error {
	n.mu.Lock()
	n.begun++
	next := n.begun
	n.mu.Unlock()
	err := overwrite(filepath.Join(dir, n.file), fmt.Appendf(nil, "%016d", next))
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.written = next
	} else {
		n.doubtful[next] = true
	}
	return err
}

// overwrite writes the beginning of a file anew, and syncs it.
func overwrite(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

// useNumbers writes the mount's own number, if it has one, and reads all, until done.
func (h *histories) useNumbers(mount int, done <-chan struct{}) {
	var seen [2]int64
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		own := mount / 2 // the first mount of a site writes that of the site
		if mount%2 == 0 && i%2 == 0 {
			if err := h.counter[own].write(h.mounts[mount].Dir); err != nil {
				h.refused(mount, err)
			}
		}
		h.readNumber(mount, i/2%len(seen), &seen)
	}
}

// refused: at the source nothing fails, at the mirror EIO is an answer while the link is cut.
func (h *histories) refused(mount int, err error) {
	h.t.Helper()
	if o := (outcome{errno: meta.Errno(err)}); mount < 2 || !o.unsure() {
		h.t.Errorf("at mount %d: %v", mount, err)
	}
}

func (h *histories) readNumber(mount, which int, seen *[2]int64) {
	n := h.counter[which]
	least, _ := n.limits()
	if mount >= 2 && (mount != 2 || which != 1) {
		least = 0 // not this mount's own: the mirror may be behind
	}
	text, err := os.ReadFile(filepath.Join(h.mounts[mount].Dir, n.file))
	if err != nil {
		h.refused(mount, err)
		return
	}
	_, most := n.limits()
	got, err := strconv.ParseInt(string(text), 10, 64)
	n.mu.Lock()
	doubtful := n.doubtful[got]
	n.mu.Unlock()
	h.numbers.Add(1)
	if least = max(least, seen[which]); err != nil || got > most || got < least && !doubtful {
		h.t.Errorf("mount %d read %q of %s, %v: want %d to %d", mount, text, n.file, err, least, most)
	}
	if !doubtful {
		seen[which] = max(seen[which], got)
	}
}

// checkNumbers reads all at all mounts, when the mirror has everything.
func (h *histories) checkNumbers() {
	h.t.Helper()
	for mount := range h.mounts {
		var seen [2]int64
		for which, n := range h.counter {
			seen[which] = n.written
			h.readNumber(mount, which, &seen)
		}
	}
}
