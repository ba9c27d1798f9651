package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	Eventually(s.t, "an answer of Redis", 3*time.Minute, func() bool {
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

// Logged is how many bytes its append-only file has: all that it has acknowledged is in them.
func (s *Server) Logged() int64 {
	s.t.Helper()
	info, err := os.Stat(s.appendOnlyFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Size()
}

// LoseTail cuts the append-only file of a server that was killed, as a crash of its machine does
// that had not written all of it to disk.
func (s *Server) LoseTail(left int64) {
	s.t.Helper()
	if err := os.Truncate(s.appendOnlyFile(), left); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) appendOnlyFile() string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("append-only files %v, %v: want one", files, err)
	}
	return files[0]
}

// Running reports whether it has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.end:
		return false
	default:
		return true
	}
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.end
}

// Processor is the processor time that its main thread has used: what its calls took, whatever
// else the machine has to do.
func (s *Server) Processor() time.Duration {
	s.t.Helper()
	info, err := local.InfoAt(context.Background(), s.socket())
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0.0
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		sum += seconds
	}
	return time.Duration(sum * float64(time.Second))
}

// CLI runs a command of Redis at a server, and returns what redis-cli prints.
func (w *World) CLI(s *Server, args ...string) string {
	w.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", s.socket()}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// SlowCall is a call of a function that Redis found slow.
type SlowCall struct {
	Function string
	Took     time.Duration
}

// SlowCalls returns what is in the slow log of a server.
func (w *World) SlowCalls(s *Server) []SlowCall {
	w.t.Helper()
	// Lua gives one line per call: redis-cli's own form of nested lists is for people.
	const script = `local lines = {}
for _, e in ipairs(redis.call('SLOWLOG', 'GET', '100000')) do
  lines[#lines + 1] = e[3] .. ' ' .. e[4][1] .. ' ' .. (e[4][2] or '')
end
return table.concat(lines, '\n')`
	var calls []SlowCall
	for line := range strings.Lines(w.CLI(s, "eval", script, "0")) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		us, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			w.t.Fatalf("slow log: %q", line)
		}
		calls = append(calls, SlowCall{Function: strings.Join(fields[1:], " "), Took: time.Duration(us) * time.Microsecond})
	}
	return calls
}
