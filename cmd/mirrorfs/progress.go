package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progressInterval is how often a line of progress is drawn anew.
const progressInterval = 200 * time.Millisecond

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// progress draws one line on a terminal, over and over. On anything else than a
// terminal it writes nothing. It belongs to one goroutine.
type progress struct {
	c     *cli
	shown bool
	last  time.Time
}

func (c *cli) newProgress() *progress { return &progress{c: c} }

// update shows a line, but not more often than progressInterval.
func (p *progress) update(format string, args ...any) {
	if !p.c.stderrIsTerminal() || time.Since(p.last) < progressInterval {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.c.stderr, "\r\x1b[K"+format, args...)
}

// done takes the line away.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.c.stderr, "\r\x1b[K")
	}
	p.shown = false
}
