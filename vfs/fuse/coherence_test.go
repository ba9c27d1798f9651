package fuse_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eternal makes the kernel keep what it knows, so that a test sees whatever is
// not made known to it.
const eternal = time.Hour

// TestOpenSeesOtherClients: an open sees what another client has closed before,
// whatever size, content and name this kernel still believes in.
func TestOpenSeesOtherClients(t *testing.T) {
	p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}, Timeout: eternal})
	here, there := filepath.Join(p.Dirs[0], "f"), filepath.Join(p.Dirs[1], "f")
	write(t, here, "first")
	for i, change := range []func(content string){
		func(content string) { write(t, there, content) },
		func(content string) { write(t, there, content) }, // same size
		func(content string) { // replaced
			write(t, there+".new", content)
			if err := os.Rename(there+".new", there); err != nil {
				t.Fatal(err)
			}
		},
		func(content string) { // made anew
			if err := os.Remove(there); err != nil {
				t.Fatal(err)
			}
			write(t, there, content)
		},
		func(content string) { // longer than a page
			write(t, there, content+strings.Repeat("x", 10_000))
		},
		func(content string) { write(t, there, content) },
	} {
		want := fmt.Sprintf("change %d", i)
		change(want)
		got := read(t, here)
		if strings.TrimRight(got, "x") != want {
			t.Errorf("after change %d: %d bytes, %.20q", i, len(got), got)
		}
		if mapped := readMapped(t, here); mapped != got {
			t.Errorf("after change %d a mapping holds %d bytes, %.20q", i, len(mapped), mapped)
		}
		if elsewhere := read(t, there); elsewhere != got {
			t.Errorf("after change %d there are %d bytes there, %.20q", i, len(elsewhere), elsewhere)
		}
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(here); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of a file removed elsewhere: %v", err)
	}
}

func readMapped(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	return string(m)
}

// TestReopenUnlinked: a file without a name can be opened again through the
// descriptor that keeps it.
func TestReopenUnlinked(t *testing.T) {
	p := mount(t, childConfig{Timeout: eternal})
	f, err := os.Create(filepath.Join(p.Dirs[0], "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString("nameless"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if b, err := io.ReadAll(again); err != nil || string(b) != "nameless" {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestPagesSurviveOpen: the kernel keeps pages from one open to the next while
// nobody changes the file.
func TestPagesSurviveOpen(t *testing.T) {
	const size = 1 << 20
	p := mount(t, childConfig{})
	name := filepath.Join(p.Dirs[0], "f")
	write(t, name, strings.Repeat("0123456789abcdef", size/16))
	read(t, name)
	read(t, name)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	if n := resident(t, m); n != size/os.Getpagesize() {
		t.Errorf("%d pages are in memory after an open, want %d", n, size/os.Getpagesize())
	}
}

// resident counts the pages of a mapping that are in memory.
func resident(t *testing.T, m []byte) int {
	t.Helper()
	vec := make([]byte, len(m)/os.Getpagesize())
	if err := mincore(m, vec); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range vec {
		n += int(v & 1)
	}
	return n
}

// TestOpenBesideReplacing: an open finds a file, however often another client puts another
// one in its place meanwhile, by nothing but renames.
func TestOpenBesideReplacing(t *testing.T) {
	const versions = 300
	p := mount(t, childConfig{Dirs: []string{mountPoint(t), mountPoint(t)}})
	here, there := filepath.Join(p.Dirs[0], "f"), filepath.Join(p.Dirs[1], "f")
	for i := range versions {
		write(t, there+strconv.Itoa(i), strconv.Itoa(i))
	}
	write(t, there, "-1")
	var renames sync.WaitGroup
	renames.Go(func() {
		for i := range versions {
			if err := os.Rename(there+strconv.Itoa(i), there); err != nil {
				t.Error(err)
				return
			}
		}
	})
	opens, last := 0, -1
	for last < versions-1 && !t.Failed() {
		text, err := os.ReadFile(here)
		version, notANumber := strconv.Atoi(string(text))
		if err != nil || notANumber != nil || version < last {
			t.Errorf("read %q after version %d, %v", text, last, err)
		}
		opens, last = opens+1, version
	}
	renames.Wait()
	t.Logf("%d opens beside %d renames", opens, versions)
}
