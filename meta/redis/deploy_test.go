package redis_test

import (
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

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// tryVolume makes, reads, resets and copies a volume through an address.
func tryVolume(t *testing.T, address string) {
	t.Helper()
	e := redistest.Format(t, address, redis.Options{})
	if err := e.StartSession(t.Context(), meta.SessionInfo{}); err != nil {
		t.Fatal(err)
	}
	backlog(t, e, 20)
	again := redistest.Open(t, address, redis.Options{})
	page, err := again.ReadDir(t.Context(), 1, "", 100)
	if err != nil || len(page.Entries) != 13 {
		t.Errorf("read %d entries, %v", len(page.Entries), err)
	}
	replica, err := redis.OpenReplica(t.Context(), address, "copy", redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Close() }()
	for range 2 { // the second time there is something to remove
		if err := replica.Reset(t.Context(), meta.Volume{Name: "copy"}, beginning()); err != nil {
			t.Fatal(err)
		}
		if _, err := replica.Apply(t.Context(), beginning(), wholeLog(t, e), meta.Position{Epoch: 1, Seq: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := replica.Lookup(t.Context(), 1, "to-"+file(1)); err != nil {
		t.Error(err)
	}
	if _, err := e.CheckServer(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCluster(t *testing.T) {
	address := redistest.Start(t, redistest.TCP(), redistest.Arg("cluster-enabled", "yes"))
	server := admin(t, address)
	if err := server.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool {
		info, err := server.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	tryVolume(t, address+"?cluster=true")
}

func TestSentinel(t *testing.T) {
	server := redistest.Start(t, redistest.TCP())
	host, port, err := net.SplitHostPort(strings.TrimPrefix(server, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	sentinel := startSentinel(t, fmt.Sprintf("sentinel monitor main %s %s 1\n", host, port))
	tryVolume(t, "redis://"+sentinel+"?master=main")
}

// startSentinel runs a Sentinel with a configuration, which it rewrites itself.
func startSentinel(t *testing.T, config string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("bind 127.0.0.1\nport "+port+"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := goredis.NewClient(&goredis.Options{Addr: address, DialTimeout: time.Second})
	defer func() { _ = client.Close() }()
	waitUntil(t, func() bool { return client.Ping(t.Context()).Err() == nil })
	return address
}

// When memory is full, what needs more is ENOSPC, and what makes room works.
func TestMemoryIsFull(t *testing.T) {
	e := redistest.New(t)
	backlog(t, e, 2)
	if err := admin(t, addressOf(t, e)).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Change(t.Context(), newFile(1, "x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new file: %v: want ENOSPC", err)
	}
	if _, err := e.GetAttr(t.Context(), 1); err != nil {
		t.Errorf("a question: %v", err)
	}
	if err := e.Heartbeat(t.Context(), nil); err != nil {
		t.Errorf("a heartbeat: %v", err)
	}
	if _, err := e.Change(t.Context(), meta.Unlink{Parent: 1, Name: "to-" + file(1)}); err != nil {
		t.Errorf("removing a file: %v", err)
	}
	orphans, err := e.Orphans(t.Context(), meta.Orphan{}, time.Now().Add(time.Hour), 1)
	if err != nil || len(orphans) != 1 {
		t.Fatalf("orphans: %v, %v", orphans, err)
	}
	if _, err := e.Change(t.Context(), meta.Purge{Orphan: orphans[0]}); err != nil {
		t.Errorf("purging it: %v", err)
	}
	if _, err := e.TrimLog(t.Context(), 1); err != nil {
		t.Errorf("trimming the log: %v", err)
	}
}
