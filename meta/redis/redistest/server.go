package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Option changes how the server is started.
type Option func(*settings)

type settings struct {
	tcp  bool
	args []string
}

// AOF makes the server keep an append-only file, synced each second.
func AOF() Option { return Arg("appendonly", "yes") }

// TCP makes the server listen on a free port of 127.0.0.1 too, and Start return
// redis://127.0.0.1:port.
func TCP() Option { return func(s *settings) { s.tcp = true } }

// Arg gives a setting of redis.conf.
func Arg(name string, values ...string) Option {
	return func(s *settings) { s.args = append(append(s.args, "--"+name), values...) }
}

// startTimeout bounds the start of a server on a busy machine.
const startTimeout = 3 * time.Minute

// Start runs a fresh server and returns its address: unix://SOCKET, or
// redis://127.0.0.1:PORT with TCP. The server ends with the test.
func Start(t testing.TB, opts ...Option) string {
	t.Helper()
	var s settings
	for _, o := range opts {
		o(&s)
	}
	// t.TempDir is often too long for the path of a socket (107 bytes).
	dir, err := os.MkdirTemp("", "mfsredis") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for tries := 1; ; tries++ {
		addr, err := s.start(t, dir)
		if err == nil {
			return addr
		}
		// Somebody may have taken the free port before the server did.
		if !s.tcp || tries == portTries {
			t.Fatal(err)
		}
	}
}

// portTries is how many free ports are tried.
const portTries = 5

// start starts a server in a directory and returns its address.
func (s *settings) start(t testing.TB, dir string) (string, error) {
	t.Helper()
	socket := filepath.Join(dir, "s")
	addr, port := "unix://"+socket, "0"
	if s.tcp {
		port = freePort(t)
		addr = "redis://127.0.0.1:" + port
	}
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--unixsocket", socket, "--dir", dir, "--save", "", "--daemonize", "no"}, s.args...)
	return addr, run(t, args, socket)
}

// run starts the process and waits until it answers.
func run(t testing.TB, args []string, socket string) error {
	t.Helper()
	var log strings.Builder
	cmd := exec.Command("redis-server", args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	// The server must not outlive a test that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("tests need redis-server (Debian: apt-get install redis-server): %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for {
		err := ping(socket)
		if err == nil {
			return nil
		}
		select {
		case end := <-exited:
			exited <- end
			return fmt.Errorf("redis-server %v ended: %w\n%s", args, end, log.String())
		case <-deadline:
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

func ping(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") {
		err = errors.New(line)
	}
	return err
}

// freePort finds a port that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
