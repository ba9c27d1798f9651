package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mirrorfs/meta/redis/local"
)

// Server is a redis-server that keeps every acknowledged change on disk
// (appendfsync always), and that can be killed and started again. It ends with the
// test.
type Server struct {
	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	end  chan struct{} // closed when it has ended
}

// Server starts a server. extra are further settings, as in "--name value".
func (w *World) Server(name string, extra ...string) *Server {
	w.t.Helper()
	dir := w.Dir("redis-" + name)
	s := &Server{t: w.t, dir: dir}
	s.args = append([]string{
		"--port", "0", "--unixsocket", s.socket(), "--dir", dir, "--save", "", "--daemonize", "no",
		"--appendonly", "yes", "--appendfsync", "always", "--logfile", filepath.Join(dir, "log"),
	}, extra...)
	w.t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Addr is its metadata address.
func (s *Server) Addr() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

// Start starts it, with what it had on disk, and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("tests need redis-server (Debian: apt-get install redis-server): %v", err)
	}
	s.end = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.end)
	}()
	Eventually(s.t, "an answer of Redis", time.Minute, func() bool {
		select {
		case <-s.end:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server ended:\n%s", log)
		default:
		}
		info, err := local.InfoAt(context.Background(), s.socket())
		return err == nil && info["loading"] == "0"
	})
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.end
}
