package docs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the top of the tree, from this package.
const root = ".."

// files gives the paths below the root, from there, of files of a kind.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && strings.HasPrefix(name, ".") && name != ".." {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, suffix) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("looking for *%s: %d found, %v", suffix, len(found), err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)(?:\\.{3})?(?:/[^`]*)?`")
	promise  = regexp.MustCompile(`^TestPromise(\d\d)`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notWord  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// tests are the names of all test functions.
func tests(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, path := range files(t, "_test.go") {
		for _, m := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			names[m[1]] = true
		}
	}
	return names
}

// Every test that a document names exists: by its name, or as the beginning of some where the name ends
// with three dots.
func TestTestsThatAreNamedExist(t *testing.T) {
	exist := tests(t)
	for _, path := range files(t, ".md") {
		for _, m := range testName.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[0], "...") {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(exist)), func(name string) bool { return strings.HasPrefix(name, m[1]) }) {
					t.Errorf("%s names tests %s..., of which there are none", path, m[1])
				}
			} else if !exist[m[1]] {
				t.Errorf("%s names the test %s, which does not exist", path, m[1])
			}
		}
	}
}

// Each promise has tests that bear its number, each of which is named where the promise is stated.
func TestPromisesNameTheirTests(t *testing.T) {
	text := read(t, "consistency.md")
	statements := map[string]string{}
	for _, part := range strings.Split(text, "\n### ")[1:] {
		number, _, ok := strings.Cut(part, ".")
		if ok {
			statements[fmt.Sprintf("%02s", number)] = part
		}
	}
	seen := map[string]bool{}
	for name := range tests(t) {
		m := promise.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		seen[m[1]] = true
		if !strings.Contains(statements[m[1]], "`"+name+"`") {
			t.Errorf("%s is not named in docs/consistency.md where promise %s is stated", name, m[1])
		}
	}
	for number := 1; number <= 12; number++ {
		n := fmt.Sprintf("%02d", number)
		part := statements[n]
		if !strings.Contains(part, "*Proof") {
			t.Errorf("promise %s names no proof", n)
		}
		if !seen[n] && !testName.MatchString(part) {
			t.Errorf("promise %s has no test", n)
		}
		if !strings.Contains(text, "| "+fmt.Sprint(number)+" |") {
			t.Errorf("promise %s is not in the table", n)
		}
	}
}

// Every link within the documentation leads to a file, and to a heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	anchors := map[string]map[string]bool{}
	for _, path := range files(t, ".md") {
		anchors[filepath.Clean(path)] = anchorsOf(read(t, path))
	}
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(withoutCode(read(t, path)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Clean(path)
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
			} else if anchor != "" && !anchors[target][anchor] {
				t.Errorf("%s: the link %s leads to no heading", path, m[1])
			}
		}
	}
}

// withoutCode takes away what only looks like links.
func withoutCode(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "```") {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// anchorsOf gives what a link may name in a file, as GitHub makes it of the headings.
func anchorsOf(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(withoutCode(text), -1) {
		name := notWord.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
