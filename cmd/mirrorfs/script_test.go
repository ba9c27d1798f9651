package main_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mirrorfs/meta/redis/local"
)

// scriptDeadline bounds one command of a script that hangs.
const scriptDeadline = 3 * time.Minute

// TestScripts runs testdata/script: sessions at a terminal, with the program as
// it is built, private Redis servers and buckets in directories.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "mirrorfs"), ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(15 * time.Minute),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			work := env.WorkDir
			env.Defer(func() {
				if err := cleanUp(work); err != nil {
					t.Errorf("clean up %s: %v", work, err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually},
	})
}

// eventually runs a command again and again until it succeeds:
// eventually exec mirrorfs ... waits for what comes by itself.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[0] != "exec" {
		ts.Fatalf("usage: eventually exec PROGRAM ARGS...")
	}
	deadline := time.Now().Add(scriptDeadline)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q never succeeded: %v", args[1:], err)
		}
		<-tick.C
	}
}

// cleanUp ends what a script left: mounts first, then servers.
func cleanUp(work string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); strings.HasPrefix(fields[4], work+"/") {
			err = errors.Join(err, syscall.Unmount(fields[4], syscall.MNT_DETACH))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptDeadline)
	defer cancel()
	walk := filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a directory that went away holds no server
		}
		if d.Name() == "redis.sock" {
			return local.Stop(ctx, filepath.Dir(path))
		}
		return nil
	})
	return errors.Join(err, walk)
}
