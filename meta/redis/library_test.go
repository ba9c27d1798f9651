package redis_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mirrorfs/meta/redis"
)

// Whoever changes lua/ must raise libraryRevision, or clients would leave older functions in
// place. testdata/library holds the revision with a checksum of the files; after raising it,
// MIRRORFS_UPDATE=1 writes it anew.
func TestRevisionRisesWithTheLibrary(t *testing.T) {
	files, err := filepath.Glob("lua/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(text)
	}
	now := redis.LibraryRevision + " " + hex.EncodeToString(sum.Sum(nil))
	const recorded = "testdata/library"
	was, err := os.ReadFile(recorded)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if string(was) == now+"\n" {
		return
	}
	revision, _, _ := strings.Cut(string(was), " ")
	if revision == redis.LibraryRevision {
		t.Fatalf("lua/ has changed since revision %s: raise libraryRevision", revision)
	}
	if os.Getenv("MIRRORFS_UPDATE") == "" {
		t.Fatalf("%s says revision %s, the library %s: write it anew with MIRRORFS_UPDATE=1", recorded, revision, redis.LibraryRevision)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // of the source tree
		t.Fatal(err)
	}
	if err := os.WriteFile(recorded, []byte(now+"\n"), 0o644); err != nil { //nolint:gosec // of the source tree
		t.Fatal(err)
	}
}

// All files are one chunk: a name that two of them define would mean one thing to the functions
// before the second and another to those after it.
func TestLibraryDefinesEachNameOnce(t *testing.T) {
	files, err := filepath.Glob("lua/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	definition := regexp.MustCompile(`(?m)^local (?:function )?(\w+)`)
	where := map[string]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		outer, _, _ := strings.Cut(string(text), "\ndo\n") // a block's own names are nobody else's
		for _, m := range definition.FindAllStringSubmatch(outer, -1) {
			if other := where[m[1]]; other != "" {
				t.Errorf("%s and %s both define %s", other, name, m[1])
			}
			where[m[1]] = name
		}
	}
	if len(where) < 50 {
		t.Errorf("found %d names: the search is broken", len(where))
	}
}
