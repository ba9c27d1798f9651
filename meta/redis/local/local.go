package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Names of the files in the directory.
const (
	socketName = "redis.sock"
	confName   = "redis.conf"
	logName    = "redis.log"
	lockName   = "lock"
)

// maxSocketPath is the longest path that fits into the address of a unix socket.
const maxSocketPath = 107

// pollInterval is how often a lock or a starting server is asked again.
const pollInterval = 10 * time.Millisecond

// ErrNoServer reports that this machine has no redis-server program.
var ErrNoServer = errors.New("redis-server is not installed; install it (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; macOS: brew install redis) or use the redis:// address of a server")

// Socket returns the path of the server's socket for a directory, absolute.
func Socket(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("local %s: %w", dir, err)
	}
	socket := filepath.Join(abs, socketName)
	if len(socket) > maxSocketPath {
		return "", fmt.Errorf("local %s: the path of its socket is %d bytes long and may have %d; choose a shorter directory", dir, len(socket), maxSocketPath)
	}
	return socket, nil
}

// Start returns the socket of the directory's server when it answers, and starts
// the server if it does not run. The directory is made if needed. A server that
// has much to load is waited for until ctx ends. The server outlives the caller.
func Start(ctx context.Context, dir string) (string, error) {
	socket, err := Socket(dir)
	if err != nil {
		return "", err
	}
	if ping(ctx, socket) == nil {
		return socket, nil
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return "", fmt.Errorf("local %s: %w", dir, err)
	}
	unlock, err := lock(ctx, filepath.Dir(socket))
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := waitReady(ctx, socket, nil); err == nil {
		return socket, nil
	} else if !isDown(err) {
		return "", fmt.Errorf("local %s: %w", dir, err)
	}
	exited, err := launch(filepath.Dir(socket))
	if err != nil {
		return "", fmt.Errorf("local %s: %w", dir, err)
	}
	if err := waitReady(ctx, socket, exited); err != nil {
		return "", fmt.Errorf("local %s: %w; see %s", dir, err, filepath.Join(filepath.Dir(socket), logName))
	}
	return socket, nil
}

// Stop ends the directory's server after it has written everything to disk, and
// returns when it is gone. It is no error when none runs.
func Stop(ctx context.Context, dir string) error {
	socket, err := Socket(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(socket)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := lock(ctx, filepath.Dir(socket))
	if err != nil {
		return err
	}
	defer unlock()
	if err := waitReady(ctx, socket, nil); isDown(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("local %s: %w", dir, err)
	}
	if err := shutdown(ctx, socket); err != nil {
		return fmt.Errorf("local %s: stop: %w", dir, err)
	}
	return nil
}

// lock takes the directory's lock and returns what releases it.
func lock(ctx context.Context, dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("local: lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("local: lock %s: %w", f.Name(), ctx.Err()), f.Close())
		case <-tick.C:
		}
	}
}

// launch starts the server in its own session, so that no signal to the
// caller's terminal reaches it. The channel gets the error of an early exit.
func launch(dir string) (<-chan error, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoServer
	}
	if err := os.WriteFile(filepath.Join(dir, confName), []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = log.Close() }()
	// The command is not bound to a context: the server outlives its starter.
	cmd := exec.Command(program, confName)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return exited, nil
}

// config is the server's configuration. Paths are relative to the directory.
const config = `# Written by mirrorfs at each start.
port 0
unixsocket redis.sock
unixsocketperm 700
daemonize no
pidfile redis.pid
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
stop-writes-on-bgsave-error no
`
