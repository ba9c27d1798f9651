package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mirrorfs/cmd/mirrorfs/wan"
	"mirrorfs/meta/redis/local"
	"mirrorfs/meta/redis/redistest"
	"mirrorfs/object/cos/costest"
	"mirrorfs/object/oss/osstest"
	"mirrorfs/object/s3/s3test"
)

// commandTimeout bounds a command that is expected to end by itself.
const commandTimeout = 10 * time.Minute

// World is what one test has running. It belongs to the test's goroutine.
type World struct {
	t       testing.TB
	program string
	env     []string
	dir     string
}

// New makes an empty world. program is the path of the mirrorfs program, as Build
// returns it.
func New(t testing.TB, program string) *World {
	t.Helper()
	// Not t.TempDir: a mount that could not be ended must not make the test
	// remove what is in it.
	dir, err := os.MkdirTemp("", "mfsworld") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // mounts are for every user
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if isEmptyOfMounts(dir) {
			_ = os.RemoveAll(dir)
		} else {
			t.Errorf("mounts are left below %s", dir)
		}
	})
	return &World{t: t, program: program, dir: dir}
}

// Build builds the mirrorfs program into a directory and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "mirrorfs")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "mirrorfs/cmd/mirrorfs")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mirrorfs: %w\n%s", err, out)
	}
	return program, nil
}

// Setenv gives a variable to every process that starts from now on.
func (w *World) Setenv(name, value string) { w.env = append(w.env, name+"="+value) }

// With gives the same world to processes with more in their environment.
func (w *World) With(env ...string) *World {
	own := *w
	own.env = append(slices.Clone(w.env), env...)
	return &own
}

// Dir makes a directory of the world.
func (w *World) Dir(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// Redis starts a server and returns its address, a unix socket.
func (w *World) Redis() string {
	w.t.Helper()
	return redistest.Start(w.t, redistest.AOF())
}

// Calls tells how often a server that Redis started was called for a command, in
// lower case: "fcall" for changes, "fcall_ro" for questions.
func (w *World) Calls(meta, command string) int64 {
	w.t.Helper()
	info, err := local.InfoAt(context.Background(), w.socket(meta))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(info["cmdstat_"+command], "calls=")
	if !ok {
		return 0 // never called
	}
	number, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// socket is the path of a server's socket.
func (w *World) socket(meta string) string {
	w.t.Helper()
	socket, ok := strings.CutPrefix(meta, "unix://")
	if !ok {
		w.t.Fatalf("%s: want an address that Redis returned", meta)
	}
	return socket
}

// FileBucket makes a bucket in a directory and returns its address.
func (w *World) FileBucket(name string) string {
	w.t.Helper()
	return "file://" + w.Dir(name)
}

// S3Bucket starts a real S3 server with one bucket and returns the bucket's
// address. The processes that start from now on have its keys.
func (w *World) S3Bucket(name string) string {
	w.t.Helper()
	return w.s3().Address(name)
}

// s3 starts an S3 server. The processes that start from now on have its keys.
func (w *World) s3() s3test.Server {
	w.t.Helper()
	server := s3test.Start(w.t)
	w.env = append(w.env, server.Env()...)
	w.env = append(w.env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true")
	return server
}

// FarBucket is a bucket in an S3 server of its own, beyond a link.
type FarBucket struct {
	*wan.Link
	Addr string // data address
}

// FarBuckets starts a real S3 server with keys of its own for each name, as two clouds
// would be. The processes that start from now on have the keys, each in a profile.
func (w *World) FarBuckets(rtt time.Duration, names ...string) []*FarBucket {
	w.t.Helper()
	var buckets []*FarBucket
	var profiles strings.Builder
	for _, name := range names {
		server := s3test.Start(w.t)
		l, err := wan.Listen(context.Background(), "tcp", strings.TrimPrefix(server.Endpoint, "http://"), rtt)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = l.Close() })
		fmt.Fprintf(&profiles, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, server.AccessKey, server.SecretKey)
		server.Endpoint = "http://" + l.Addr()
		buckets = append(buckets, &FarBucket{Link: l, Addr: server.Address(name) + "&profile=" + name})
	}
	file := filepath.Join(w.Dir("aws"), "credentials")
	if err := os.WriteFile(file, []byte(profiles.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.env = append(w.env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE="+file, "AWS_EC2_METADATA_DISABLED=true")
	return buckets
}

// OSSBucket starts a fake of Aliyun OSS, and returns the address of a bucket in it.
// The processes that start from now on have its keys.
func (w *World) OSSBucket(name string) string {
	w.t.Helper()
	server := osstest.Start(w.t)
	w.env = append(w.env, "OSS_ACCESS_KEY_ID="+server.Account.ID, "OSS_ACCESS_KEY_SECRET="+server.Account.Secret)
	return "oss://" + name + "?region=" + osstest.Region + "&endpoint=" + server.URL
}

// COSBucket is OSSBucket for Tencent COS.
func (w *World) COSBucket(name string) string {
	w.t.Helper()
	server := costest.Start(w.t)
	w.env = append(w.env, "COS_SECRETID="+server.Account.ID, "COS_SECRETKEY="+server.Account.Secret)
	return "cos://" + name + "-1250000000?region=" + costest.Region + "&endpoint=" + server.URL
}

// Link puts a wide-area link in front of a server that Redis started, and returns
// the address that it has beyond the link.
func (w *World) Link(meta string, rtt time.Duration) (*wan.Link, string) {
	w.t.Helper()
	l, err := wan.Listen(context.Background(), "unix", w.socket(meta), rtt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	return l, "redis://" + l.Addr() + "/0"
}

// Result is what a command that ended left.
type Result struct {
	Code           int
	Stdout, Stderr string
	MaxMemory      int64 // bytes, the most that was seen resident
}

// Try runs mirrorfs to its end, whatever that is.
func (w *World) Try(args ...string) Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := w.command(ctx, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err, peak := cmd.Start(), int64(0)
	if err == nil {
		ended, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			peak = peakMemory(cmd.Process.Pid, ended)
		}()
		err = cmd.Wait()
		close(ended)
		<-watched
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("mirrorfs %s: %v", strings.Join(args, " "), err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(), MaxMemory: peak}
}

// Run runs mirrorfs to its end, which must be success, and returns its stdout.
func (w *World) Run(args ...string) string {
	w.t.Helper()
	r := w.Try(args...)
	if r.Code != 0 {
		w.t.Fatalf("mirrorfs %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (w *World) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.program, args...)
	cmd.Env = append(os.Environ(), w.env...)
	cmd.Dir = w.dir
	return cmd
}

// isEmptyOfMounts reports whether nothing is mounted below a directory.
func isEmptyOfMounts(dir string) bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && !bytes.Contains(mounts, []byte(" "+dir+"/"))
}
