package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// envBackground tells a mount that it is the child of one with --background, and
// on which descriptor to report: backgroundOK when the mount answers, else why
// it does not.
const (
	envBackground = "MIRRORFS_MOUNT_REPORT_FD"
	backgroundOK  = "ok"
	backgroundFD  = 3
)

// answerTimeout bounds the last look of a mount in the background from outside.
const answerTimeout = 30 * time.Second

// backgroundReport is where the child of a background mount reports; nil for
// any other process.
func (c *cli) backgroundReport() *os.File {
	fd, err := strconv.Atoi(c.getenv(envBackground))
	if err != nil || fd != backgroundFD {
		return nil
	}
	unix.CloseOnExec(fd) // a private redis-server must not keep it open
	return os.NewFile(uintptr(fd), "report")
}

// mountReporting is the child of a background mount.
func (c *cli) mountReporting(ctx context.Context, addr, dir string, opts mountOptions, report *os.File) error {
	reported := false
	err := c.mount(ctx, addr, dir, opts, func() error {
		reported = true
		_, err := io.WriteString(report, backgroundOK)
		return errors.Join(err, report.Close())
	})
	if err != nil && !reported {
		var text bytes.Buffer
		fmt.Fprintln(&text, err)
		writeHints(&text, err)
		_, _ = report.Write(text.Bytes()) // the parent is gone, or reads it
	}
	return err
}

// mountInBackground starts this command line again without a terminal and
// returns when the mount answers.
func (c *cli) mountInBackground(ctx context.Context, dir string, opts mountOptions) error {
	log, err := opts.openLog(dir)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer func() { _ = in.Close() }()
	self, err := os.Executable()
	if err != nil {
		return errors.Join(fmt.Errorf("start in the background: %w", err), out.Close())
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envBackground, backgroundFD))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	report, err := io.ReadAll(in)
	if !stop() {
		_ = cmd.Wait()
		return errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	if string(report) != backgroundOK {
		return c.backgroundFailed(cmd, report, log.Name())
	}
	if err := answers(dir); err != nil {
		return fmt.Errorf("%s was mounted but does not answer: %w", dir, err)
	}
	r := &mountResult{Dir: dir, PID: cmd.Process.Pid, Log: log.Name()}
	return c.print(r, r.write)
}

// backgroundFailed prints why the child could not mount.
func (c *cli) backgroundFailed(cmd *exec.Cmd, report []byte, log string) error {
	err := cmd.Wait()
	if len(report) == 0 {
		return hintf(fmt.Errorf("the mount ended before it answered: %w", err), "its log: %s", log)
	}
	fmt.Fprintf(c.stderr, "mirrorfs: %s", report)
	return errSilent
}

// openLog opens the file for the log of a background mount.
func (o *mountOptions) openLog(dir string) (*os.File, error) {
	name := o.logFile
	if name == "" {
		cache, err := o.cacheOf(dir)
		if err != nil {
			return nil, err
		}
		name = filepath.Join(cache, "mount.log")
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, hintf(fmt.Errorf("log of the mount: %w", err), "name a file: --log-file FILE")
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, hintf(fmt.Errorf("log of the mount: %w", err), "name a file: --log-file FILE")
	}
	return f, nil
}

// answers asks the mount for something, as any program would.
func answers(dir string) error {
	c := make(chan error, 1)
	go func() { // a mount that hangs must not hang us
		var st unix.Statfs_t
		c <- unix.Statfs(dir, &st)
	}()
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case err := <-c:
		return err
	case <-timer.C:
		return unix.ETIMEDOUT
	}
}
