package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// errLoading says that the server runs and reads its file.
var errLoading = errors.New("server is loading")

// answerTimeout bounds one question to a server that runs.
const answerTimeout = 2 * time.Second

// ping asks the server whether it is ready.
func ping(ctx context.Context, socket string) error {
	line, err := ask(ctx, socket, "PING", answerTimeout)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "+PONG"):
		return nil
	case strings.HasPrefix(line, "-LOADING"), strings.HasPrefix(line, "-BUSY"):
		return errLoading
	default:
		return fmt.Errorf("server answers %q", strings.TrimSpace(line))
	}
}

// isDown reports whether err says that no server listens.
func isDown(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// waitReady waits for a server to answer. With exited nil it waits only while the
// server is loading; otherwise until the server just started listens, or exits.
func waitReady(ctx context.Context, socket string, exited <-chan error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := ping(ctx, socket)
		if err == nil || !errors.Is(err, errLoading) && (exited == nil || !isDown(err)) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-exited:
			return fmt.Errorf("redis-server ended: %w", errors.Join(err, errors.New("it did not start")))
		case <-tick.C:
		}
	}
}

// shutdown ends the server and waits for the end of its connection, which is
// the end of its process.
func shutdown(ctx context.Context, socket string) error {
	line, err := ask(ctx, socket, "SHUTDOWN", time.Minute)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("server answers %q", strings.TrimSpace(line))
}

// ask sends one command and returns the first line of the answer.
func ask(ctx context.Context, socket, command string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", fmt.Errorf("send %s: %w", command, err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("answer to %s: %w", command, err)
	}
	return line, nil
}
