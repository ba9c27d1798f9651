package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Info returns what the directory's server says of itself: the lines of its
// INFO of all sections, by name. It starts nothing.
func Info(ctx context.Context, dir string) (map[string]string, error) {
	socket, err := Socket(dir)
	if err != nil {
		return nil, err
	}
	return InfoAt(ctx, socket)
}

// InfoAt is Info of the server at a unix socket.
func InfoAt(ctx context.Context, socket string) (map[string]string, error) {
	conn, stop, err := dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer stop()
	r := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, "INFO everything\r\n"); err != nil {
		return nil, fmt.Errorf("local %s: %w", socket, err)
	}
	head, err := r.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("local %s: %w", socket, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || n < 0 || n > maxInfoBytes {
		return nil, fmt.Errorf("local %s: server answers %q", socket, strings.TrimSpace(head))
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("local %s: %w", socket, err)
	}
	info := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// maxInfoBytes bounds the answer to INFO.
const maxInfoBytes = 1 << 20

// PingRate measures how many PINGs per second one connection gets through, one
// after the other, n of them: what no metadata operation on one connection can
// be faster than.
func PingRate(ctx context.Context, dir string, n int) (float64, error) {
	socket, err := Socket(dir)
	if err != nil {
		return 0, err
	}
	conn, stop, err := dial(ctx, socket)
	if err != nil {
		return 0, err
	}
	defer stop()
	ping, pong := []byte("*1\r\n$4\r\nPING\r\n"), make([]byte, len("+PONG\r\n"))
	start := time.Now()
	for range n {
		if _, err := conn.Write(ping); err != nil {
			return 0, fmt.Errorf("local %s: %w", dir, err)
		}
		if _, err := io.ReadFull(conn, pong); err != nil {
			return 0, fmt.Errorf("local %s: %w", dir, err)
		}
		if string(pong) != "+PONG\r\n" {
			return 0, errors.New("server answers something else to PING")
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// dial connects to a server until stop is called or ctx ends.
func dial(ctx context.Context, socket string) (conn net.Conn, stop func(), err error) {
	var d net.Dialer
	conn, err = d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("local %s: %w", socket, err)
	}
	cancel := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { cancel(); _ = conn.Close() }, nil
}
