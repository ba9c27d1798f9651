package fuse_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
	"mirrorfs/meta/redis/redistest"
)

// TestDeadClientIsCleanedUpOnce: what a killed client leaves, its session with replies and locks
// and the files that only it had open, is removed by those that live, all at once, each
// thing by one change.
func TestDeadClientIsCleanedUpOnce(t *testing.T) {
	const files = 5
	address, bucket := newVolume(t, "test"), t.TempDir()
	e := redistest.Open(t, address, redis.Options{})
	dead := mount(t, childConfig{Meta: address, Bucket: bucket})
	a := newLocker(t)
	for i := range files {
		name := filepath.Join(dead.Dirs[0], fmt.Sprint(i))
		a.does("ok", "open", i, name)
		a.does("ok", "write", i, "text")
		a.does("ok", "sync", i)
		a.does("ok", "set", i, "w 0 10")
		a.does("ok", "flock", i, "ex")
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	sessions, err := e.Sessions(t.Context())
	if err != nil || len(sessions) != 1 || sessions[0].Locks != 2*files {
		t.Fatalf("sessions %+v, %v", sessions, err)
	}
	victim := sessions[0].ID
	dead.kill()
	before, err := e.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	// To those who live, an hour has passed since.
	live := mount(t, childConfig{
		Dirs: []string{mountPoint(t), mountPoint(t), mountPoint(t)}, Meta: address, Bucket: bucket,
		Ahead: time.Hour, PurgeInterval: 20 * time.Millisecond,
	})
	for left := []string{""}; len(left) > 0; {
		if left, err = leftOf(t, e, victim); err != nil {
			t.Fatal(err)
		}
	}
	if err := live.terminate(); err != nil {
		t.Error(err)
	}
	ended, gone := removals(t, e, before.Position)
	if ended[victim] != 1 {
		t.Errorf("the dead session was ended %d times", ended[victim])
	}
	if len(gone) != files {
		t.Errorf("inodes that went: %v, want %d", gone, files)
	}
	for ino, n := range gone {
		if n != 1 {
			t.Errorf("inode %d went %d times", ino, n)
		}
	}
	if keys := keysAbout(t, address, victim); keys != "" {
		t.Errorf("these keys still tell of the dead session: %s", keys)
	}
}

// leftOf tells what is left of a session and of files without a name.
func leftOf(t *testing.T, e *redis.Engine, id meta.SessionID) (left []string, err error) {
	t.Helper()
	sessions, err := e.Sessions(t.Context())
	for i := range sessions {
		if sessions[i].ID == id {
			left = append(left, "session")
		}
	}
	if err != nil {
		return nil, err
	}
	locks, err := e.SessionLocks(t.Context(), id, 100)
	if err != nil {
		return nil, err
	}
	orphans, err := e.Orphans(t.Context(), meta.Orphan{}, time.Now().Add(24*time.Hour), 100)
	return append(left, make([]string, len(locks)+len(orphans))...), err
}

// removals counts in the log how often each session and each inode went.
func removals(t *testing.T, e *redis.Engine, after meta.Position) (sessions map[meta.SessionID]int, inodes map[meta.Ino]int) {
	t.Helper()
	entries, err := e.Tail(t.Context(), after, 10_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	sessions, inodes = map[meta.SessionID]int{}, map[meta.Ino]int{}
	for _, entry := range entries {
		r, err := meta.DecodeRecord(entry.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Effects {
			switch f := &r.Effects[i]; f.Kind {
			case meta.EffectSessionGone:
				sessions[f.Session]++
			case meta.EffectInodeGone:
				inodes[f.Ino]++
			default:
			}
		}
	}
	return sessions, inodes
}

// keysAbout names the keys, the log apart, in which a session is.
func keysAbout(t *testing.T, address string, id meta.SessionID) string {
	t.Helper()
	const script = `
local session = ARGV[1]:gsub('..', function(hex) return string.char(tonumber(hex, 16)) end)
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, rows = redis.call('TYPE', key).ok, {}
  if kind == 'hash' then rows = redis.call('HGETALL', key)
  elseif kind == 'set' then rows = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then rows = redis.call('ZRANGE', key, 0, -1)
  elseif kind == 'string' then rows = {redis.call('GET', key)} end
  rows[#rows + 1] = key
  for _, row in ipairs(rows) do
    if row:find(session, 1, true) then found[#found + 1] = key break end
  end
end
return table.concat(found, ' ')`
	socket := strings.TrimPrefix(address, "unix://")
	out, err := exec.CommandContext(limited(t), "redis-cli", "-s", socket, "EVAL", script, "0", fmt.Sprintf("%016x", uint64(id))).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
