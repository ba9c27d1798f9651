package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mirrorfs/integration/harness"
)

// terminal is a pseudo-terminal, and what a program has shown on it.
type terminal struct {
	master, slave *os.File

	mu    sync.Mutex
	shown bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	term := &terminal{master: master, slave: slave}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.shown.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

// screens are what was shown, each from one clearing of the screen to the next.
func (s *terminal) screens() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Split(bytes.Clone(s.shown.Bytes()), []byte("\x1b[H\x1b[2J"))[1:]
}

// On a terminal mirror status --watch draws the screen again and again, with what is so by then, and ends by Ctrl-C
// with code 0.
func TestWatchOnATerminal(t *testing.T) {
	w := harness.New(t, program)
	metaA, metaB := w.Redis(), w.Redis()
	w.Run("format", metaA, "vol", "--bucket", w.FileBucket("bucket"))
	w.Run("mirror", "add", metaA, metaB, "--site", "b")
	term := newTerminal(t)
	cmd := exec.Command(program, "mirror", "status", metaB, "--watch")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	shows := func(what string, also int) {
		t.Helper()
		harness.Eventually(t, "a screen that shows "+what, 3*time.Minute, func() bool {
			screens := term.screens()
			// The last one may not be drawn to its end.
			return len(screens) > also && bytes.Contains(screens[len(screens)-2], []byte(what))
		})
	}
	shows("bootstrapping", 2)
	w.Start("mirror", "run", metaB)
	shows("following", 3)
	_, err := term.master.Write([]byte{3}) // Ctrl-C
	must(t, err)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
	case <-time.After(3 * time.Minute):
		t.Error("it goes on after Ctrl-C")
	}
}
