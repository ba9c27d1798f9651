package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// quotaOf asks for a quota at a site that has all that was acknowledged before.
func quotaOf(t *testing.T, s *twoSites, meta, path string) (q struct {
	Used struct{ Bytes, Inodes uint64 }
	Next uint64
},
) {
	t.Helper()
	if meta == s.metaB {
		s.wait()
	}
	must(t, json.Unmarshal([]byte(s.Run("quota", "get", meta, path, "--json")), &q))
	return q
}

// A quota is set while programs at both sites write, holds at both, and is exact
// after all of it, at both.
func TestQuotaAtBothSites(t *testing.T) {
	s := newTwoSites(t, 0, fileBucket)
	s.runMirror()
	a, b := s.Mount("a", s.metaA), s.Mount("b", s.metaB)
	must(t, os.Mkdir(filepath.Join(a.Dir, "dir"), 0o755))
	s.wait()
	for i := range 200 {
		must(t, os.WriteFile(filepath.Join(a.Dir, "dir", fmt.Sprint("early", i)), make([]byte, 5000), 0o644))
	}
	const limit = 350
	var full atomic.Int64
	var set atomic.Bool
	var group sync.WaitGroup
	begun := make(chan struct{}, 4)
	for i, dir := range []string{a.Dir, a.Dir, b.Dir, b.Dir} {
		group.Go(func() {
			for n := 0; n < 150; n++ {
				if n == 10 {
					begun <- struct{}{}
					for again := 0; !set.Load(); again++ { // however long that takes, no more files come to be
						makeAndRemove(t, filepath.Join(dir, "dir", fmt.Sprintf("w%d.again%d", i, again)))
					}
				}
				name := filepath.Join(dir, "dir", fmt.Sprintf("w%d.%d", i, n))
				err := os.WriteFile(name, make([]byte, 1+n*37%9000), 0o644)
				switch {
				case errors.Is(err, syscall.EDQUOT):
					full.Add(1)
				case err != nil:
					t.Errorf("%s: %v", name, err)
				case n%5 == 0:
					if err := os.Remove(name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	s.Run("quota", "set", s.metaB, "/dir", "--inodes", fmt.Sprint(limit), "--size", "100MiB") // from the mirror
	set.Store(true)
	group.Wait()
	bytes, inodes := uint64(0), uint64(0)
	entries, err := os.ReadDir(filepath.Join(a.Dir, "dir"))
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		bytes, inodes = bytes+(uint64(info.Size())+4095)/4096*4096, inodes+1
	}
	if inodes != limit || full.Load() == 0 {
		t.Errorf("%d files where %d may be, and %d were refused", inodes, limit, full.Load())
	}
	for _, meta := range []string{s.metaA, s.metaB} {
		if q := quotaOf(t, s, meta, "/dir"); q.Used.Bytes != bytes || q.Used.Inodes != inodes || q.Next != 0 {
			t.Errorf("%s says %+v, there are %d bytes in %d inodes", meta, q, bytes, inodes)
		}
	}
	for _, m := range []string{a.Dir, b.Dir} {
		var st unix.Statfs_t
		must(t, unix.Statfs(filepath.Join(m, "dir", "early0"), &st))
		if st.Blocks*uint64(st.Bsize) != 100<<20 || st.Files != limit || st.Ffree != 0 {
			t.Errorf("statfs at %s: %+v", m, st)
		}
	}
	s.Run("quota", "remove", s.metaA, "/dir")
	s.wait()
	must(t, os.WriteFile(filepath.Join(b.Dir, "dir", "again"), nil, 0o644))
	if out := s.Run("fsck", s.metaA); strings.Contains(out, "wrong") {
		t.Error(out)
	}
}

func makeAndRemove(t *testing.T, name string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(name, make([]byte, 5000), 0o644), os.Remove(name)); err != nil {
		t.Error(err)
	}
}

// ACLs, setgid directories and attributes set at one site are in force at the other.
func TestACLsAtBothSites(t *testing.T) {
	s := newTwoSites(t, 0, fileBucket)
	s.runMirror()
	a, b := s.Mount("a", s.metaA), s.Mount("b", s.metaB)
	script := func(dir, text string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", text)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", text, err, out)
		}
		return string(out)
	}
	script(a.Dir, `umask 077; mkdir d; setfacl -m u:1001:rwx,d:u:1001:rwx,d:g:7:rx d; chgrp 7 d; chmod g+s d
		setfattr -n trusted.a -v one d; echo secret > d/f`)
	s.wait()
	// Made at the mirror, where the default ACL is the source's.
	script(b.Dir, `umask 077; echo more > d/g; mkdir d/sub; touch d/sub/h; chmod 640 d/f`)
	s.wait()
	show := `getfacl -Rn d; stat -c '%n %a %u:%g' d d/f d/g d/sub d/sub/h; getfattr -R -d -m trusted d`
	there, here := script(a.Dir, show), script(b.Dir, show)
	if there != here || !strings.Contains(here, "default:user:1001:rwx") || !strings.Contains(here, "d/sub 2770 0:7") {
		t.Errorf("the source shows\n%s\nand the mirror\n%s", there, here)
	}
	for _, dir := range []string{a.Dir, b.Dir} {
		must(t, as(1001, dir, "echo mine >> d/g && cat d/f"))
		if err := as(1002, dir, "cat d/g"); err == nil {
			t.Error("an ACL is not in force")
		}
	}
}

// as runs a command as another user.
func as(uid uint32, dir, text string) error {
	cmd := exec.Command("sh", "-ec", text)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
