package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Region is what the server signs with and reports.
const Region = "us-east-1"

const (
	pollEvery = 10 * time.Millisecond
	startTime = time.Minute
	stopTime  = 5 * time.Second // between SIGTERM and SIGKILL
	portTries = 5
)

// Server is a running S3 server and its only account.
type Server struct {
	Endpoint  string // http://127.0.0.1:port
	AccessKey string
	SecretKey string
}

// Address is the address of a bucket at the server, for open.Store.
func (s Server) Address(bucket string) string {
	query := url.Values{"endpoint": {s.Endpoint}, "region": {Region}, "path_style": {"true"}}
	return "s3://" + bucket + "?" + query.Encode()
}

// Env is the account as the environment variables of the credentials' chain.
func (s Server) Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey}
}

// errPort: somebody took the free port before the server did.
var errPort = errors.New("port is taken")

// Run serves the directory dir, each directory in it a bucket, until ctx ends,
// and then returns nil; dir needs extended attributes. It calls ready, once, when
// requests are answered. The server ends with this process, however that ends.
func Run(ctx context.Context, dir string, ready func(Server)) error {
	binary, err := build(ctx)
	if err != nil {
		return err
	}
	for range portTries {
		if err = run(ctx, binary, dir, ready); !errors.Is(err, errPort) {
			break
		}
	}
	return err
}

func run(parent context.Context, binary, dir string, ready func(Server)) error {
	address, err := freeAddress(parent)
	if err != nil {
		return err
	}
	server := Server{Endpoint: "http://" + address, AccessKey: rand.Text(), SecretKey: rand.Text()}
	ctx, stop := context.WithCancel(parent)
	defer stop()
	var output head
	cmd := command(ctx, binary, dir, address, server)
	cmd.Stdout, cmd.Stderr = &output, &output

	// The death signal comes when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	var exit error
	ended := make(chan struct{})
	go func() {
		exit = cmd.Wait()
		close(ended)
	}()
	err = waitReady(ctx, server.Endpoint, ended)
	if err == nil {
		ready(server)
	} else {
		stop()
	}
	<-ended
	if parent.Err() != nil {
		return nil // as asked; how it ended says nothing
	}
	if output.contains("address already in use") {
		return errPort
	}
	return fmt.Errorf("versitygw: %w: %s", errors.Join(err, exit), output.data)
}

func command(ctx context.Context, binary, dir, address string, server Server) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, "--port", address, "--region", Region,
		"--health", "/health", "--keep-alive", "--quiet", "posix", dir)
	// By environment, for arguments are visible to every user.
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+server.AccessKey, "ROOT_SECRET_KEY="+server.SecretKey)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// freeAddress is a loopback address that nobody listens on, for the moment.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady asks the server until it answers.
func waitReady(ctx context.Context, endpoint string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/health", http.NoBody)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close() // only the status counts
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return errors.New("ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("not ready after %v: %w", startTime, ctx.Err())
		}
	}
}

// head keeps the first bytes written to it.
type head struct{ data []byte }

const headBytes = 16 << 10

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), headBytes-len(h.data))]...)
	return len(p), nil
}

func (h *head) contains(text string) bool { return bytes.Contains(h.data, []byte(text)) }
