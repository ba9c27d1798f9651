package redis_test

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
	"mirrorfs/meta/redis/redistest"
)

// A server goes back to what it held before, as after a crash that lost the end of its log, and clients live
// on that know what was lost. No inode, slice or version of a file's content of those is given again.
func TestPromise02NumbersOfALostTailAreNotGivenAgain(t *testing.T) {
	e := redistest.New(t)
	server := admin(t, addressOf(t, e))
	do := func(c meta.Change) *meta.Result {
		t.Helper()
		res, err := e.Change(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return &res
	}
	file := do(meta.Make{Parent: meta.RootIno, Name: "file", Mode: meta.TypeFile | 0o644}).Node.Ino
	held := snapshot(t, server)

	live := func(name string) (meta.Ino, uint64, uint64) {
		ino := do(meta.Make{Parent: meta.RootIno, Name: name, Mode: meta.TypeFile | 0o644}).Node.Ino
		slice := do(meta.Reserve{Count: 1000}).FirstSlice
		version := do(meta.SetAttr{Ino: file, Set: meta.SetSize, Size: 100}).Node.Attr.Version
		return ino, slice, version
	}
	ino, slice, version := live("lost")
	back(t, server, held)
	ino2, slice2, version2 := live("after")
	if ino2 <= ino+100_000 || slice2 <= slice+1_000_000 {
		t.Errorf("a server that lost inode %d and slice %d gives %d and %d", ino, slice, ino2, slice2)
	}
	if version == version2 {
		t.Errorf("two contents of a file, of which one is lost, have version %d", version)
	}

	// What the server made itself it goes on with.
	ino3, slice3, _ := live("further")
	if ino3 != ino2+1 || slice3 != slice2+1000 {
		t.Errorf("after inode %d and slice %d come %d and %d", ino2, slice2, ino3, slice3)
	}
}

// snapshot reads all keys as they are.
func snapshot(t *testing.T, server *goredis.Client) map[string]string {
	t.Helper()
	names, err := server.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		all[name], err = server.Dump(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// back makes a server hold a snapshot again.
func back(t *testing.T, server *goredis.Client, held map[string]string) {
	t.Helper()
	if err := server.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for name, value := range held {
		if err := server.Restore(t.Context(), name, 0, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
