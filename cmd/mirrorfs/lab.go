package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mirrorfs/object/s3/s3test"
)

const (
	labMountTimeout = 3 * time.Minute
	labStopTimeout  = time.Minute
	labPollInterval = 5 * time.Millisecond
	labLogTail      = 4 << 10 // bytes
)

// lab is what the demo and the benchmark run on this machine: private Redis
// servers, mounts and other mirrorfs processes, below one directory. The parts
// are the same program that people run; a lab only starts and ends it.
type lab struct {
	c    *cli
	self string // path of this program
	dir  string
	env  []string // of the processes, beside this one's; set before they start

	mu      sync.Mutex
	closers []func(context.Context) error // run in reverse
}

// newLab makes a lab in a new directory below parent; "" is the system's place
// for temporary files.
func newLab(c *cli, parent string) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "mirrorfs-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	l := &lab{c: c, self: self, dir: dir}
	// Nobody reading what we print must not kill us: the parts would stay.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	l.onClose(func(context.Context) error {
		signal.Stop(broken)
		return nil
	})
	l.onClose(func(context.Context) error { return l.removeDir() })
	return l, l.mkdir("log")
}

// onClose adds what is to be done at the end, before all that was added earlier.
func (l *lab) onClose(f func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// close ends everything and removes the directory. It goes on after a failure
// and returns all of them.
func (l *lab) close(ctx context.Context) error {
	l.mu.Lock()
	closers := l.closers
	l.closers = nil
	l.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(closers) {
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}

// removeDir removes the lab's directory, unless a mount is left below it: then
// removing would delete through it.
func (l *lab) removeDir() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if bytes.Contains(mounts, []byte(" "+l.dir+"/")) {
		return fmt.Errorf("a mount is left below %s: umount it and remove the directory", l.dir)
	}
	return os.RemoveAll(l.dir)
}

func (l *lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

func (l *lab) mkdir(elem ...string) error { return os.MkdirAll(l.path(elem...), 0o755) }

// run runs mirrorfs to its end and returns what it printed.
func (l *lab) run(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, l.self, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), l.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("mirrorfs %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// child is a mirrorfs process of a lab.
type child struct {
	cmd  *exec.Cmd
	log  string
	what string
	end  chan struct{} // closed when it has ended
}

// start starts mirrorfs in the background, its log in a file of the name. It has
// a process group of its own: Ctrl-C reaches the lab alone, which ends its parts
// in order.
func (l *lab) start(name string, args ...string) (*child, error) {
	log, err := os.Create(l.path("log", name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p := &child{cmd: exec.Command(l.self, args...), log: log.Name(), what: "mirrorfs " + strings.Join(args, " "), end: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), l.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.what, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.end)
	}()
	l.onClose(p.stop)
	return p, nil
}

// stop asks the process to end and waits; a process that does not is killed.
func (p *child) stop(context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(labStopTimeout)
	defer timer.Stop()
	select {
	case <-p.end:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.end
		return fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.what, labStopTimeout)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d:\n%s", p.what, code, p.tail())
	}
	return nil
}

// running reports whether the process has not ended.
func (p *child) running() bool {
	select {
	case <-p.end:
		return false
	default:
		return true
	}
}

// tail is the end of the process's log.
func (p *child) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-labLogTail):]))
}

// redis starts a private server in a directory of the lab and returns its address.
func (l *lab) redis(ctx context.Context, name string) (string, error) {
	dir := l.path(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	l.onClose(func(ctx context.Context) error {
		_, err := l.run(ctx, "local", "stop", dir)
		return err
	})
	_, err := l.run(ctx, "local", "start", dir)
	return "local:" + dir, err
}

// s3 starts a real S3 server (versitygw, built by the go command) and returns the
// address of a bucket there. Processes that start from now on have its keys.
func (l *lab) s3(ctx context.Context, bucket string) (string, error) {
	if err := l.mkdir("s3"); err != nil {
		return "", err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan s3test.Server, 1), make(chan error, 1)
	go func() { ended <- s3test.Run(serving, l.path("s3"), func(s s3test.Server) { ready <- s }) }()
	select {
	case server := <-ready:
		l.onClose(func(context.Context) error {
			stop()
			return <-ended
		})
		l.env = append(l.env, server.Env()...)
		return server.Address(bucket), nil
	case err := <-ended:
		stop()
		return "", hintf(fmt.Errorf("S3 server: %w", err), "without --s3 the bucket is a directory, which needs no Go installation")
	}
}

// mount mounts a volume on a new directory of the lab, and returns when it is there.
func (l *lab) mount(ctx context.Context, name, meta string, flags ...string) (string, *child, error) {
	if err := l.mkdir(name); err != nil {
		return "", nil, err
	}
	dir := l.path(name)
	before, err := deviceOf(dir)
	if err != nil {
		return "", nil, err
	}
	args := append([]string{"mount", meta, dir, "--cache-dir", l.path(name + "-cache")}, flags...)
	p, err := l.start(strings.ReplaceAll(name, "/", "-"), args...)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, labMountTimeout)
	defer cancel()
	err = poll(ctx, labPollInterval, func() (bool, error) {
		if !p.running() {
			return false, fmt.Errorf("%s ended:\n%s", p.what, p.tail())
		}
		now, err := deviceOf(dir)
		return err == nil && now != before, nil
	})
	if err != nil {
		return "", nil, fmt.Errorf("mount of %s: %w", meta, err)
	}
	return dir, p, nil
}

// poll asks a condition again and again until it is true, fails, or ctx ends.
func poll(ctx context.Context, every time.Duration, condition func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// deviceOf tells one file system from another.
func deviceOf(dir string) (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(dir, &st)
	return st.Dev, err
}
