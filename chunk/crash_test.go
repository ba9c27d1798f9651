package chunk_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mirrorfs/chunk"
	"mirrorfs/object/file"
)

// victimDir tells this test binary, when set, to be the victim of
// TestAKilledWriterLosesNoClosedSlice with its files there.
const victimDir = "MIRRORFS_CHUNK_VICTIM"

const victimBytes = 700_000

// TestAKilledWriterLosesNoClosedSlice kills a process that writes slices through a
// disk cache into a directory, at any moment, again and again. Every slice whose
// Close had returned is whole in the store, and the cache serves only what is
// right, and most of it.
func TestAKilledWriterLosesNoClosedSlice(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		beVictim(t, dir)
		return
	}
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/bucket", 0o700))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	closed := 0
	for range 4 {
		closed = kill(t, dir, closed, 1+rng.IntN(25))
		forget(t, dir, closed+1)
	}
	store := &store{Store: openStore(t, dir)}
	c := openCache(t, dir+"/cache", chunk.DiskOptions{})
	data := make([][]byte, closed)
	for i := range data {
		data[i] = random(uint64(i+1), victimBytes)
	}
	got := readAll(t, store, c, data)
	t.Logf("%d slices of 3 blocks, %d downloads", closed, got.gets)
	if got.gets > closed {
		t.Errorf("%d of %d blocks were not in the cache", got.gets, 3*closed)
	}
	if again := readAll(t, store, c, data); again.gets != 0 {
		t.Errorf("%d downloads the second time", again.gets)
	}
}

func openStore(t *testing.T, dir string) *file.Store {
	t.Helper()
	s, err := file.New(dir + "/bucket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// kill starts a victim that goes on after the slice from, kills it when it has
// closed count more, and gives the last slice that it said to have closed.
func kill(t *testing.T, dir string, from, count int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKilledWriterLosesNoClosedSlice$", "-test.v")
	cmd.Env = append(os.Environ(), victimDir+"="+dir, "FROM="+strconv.Itoa(from))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	last := from
	var text strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		number, ok := strings.CutPrefix(lines.Text(), "closed ")
		if !ok {
			text.WriteString(lines.Text() + "\n")
			continue
		}
		last, err = strconv.Atoi(number)
		must(t, err)
		if last >= from+count {
			must(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait() // it was killed
	if last < from+count {
		t.Fatalf("the victim ended by itself after slice %d: %s", last, text.String())
	}
	return last
}

// forget removes what a victim had stored of the slice that it was at: a number is given out once, and the next
// victim begins with this one.
func forget(t *testing.T, dir string, slice int) {
	t.Helper()
	blocks, err := filepath.Glob(fmt.Sprintf("%s/bucket/data/*/*/%d-*", dir, slice))
	must(t, err)
	for _, block := range blocks {
		must(t, os.Remove(block))
	}
}

// beVictim writes slices until it is killed, telling of each that it closed.
func beVictim(t *testing.T, dir string) {
	t.Helper()
	from, err := strconv.Atoi(os.Getenv("FROM"))
	must(t, err)
	b := newBlocks(t, openStore(t, dir), openCache(t, dir+"/cache", chunk.DiskOptions{}), chunk.Options{BlockBytes: smallBlock})
	for i := from + 1; ; i++ {
		write(t, b, uint64(i), random(uint64(i), victimBytes))
		fmt.Printf("closed %d\n", i)
	}
}
