package main_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	main "mirrorfs/cmd/mirrorfs"
)

var (
	// prompt stands before a command in some blocks.
	prompt = regexp.MustCompile(`^(?:[a-z]?\$ )?(?:exec )?`)
	// word is one of a shell's words.
	word = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)
)

// Every command that a document shows in a block is one that there is, with flags and arguments that it
// takes.
func TestDocumentsShowCommandsThatExist(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") || strings.Contains(path, "/.tools/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, block := range strings.Split(string(text), "```") {
			if i%2 == 0 {
				continue
			}
			for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
				if command, ok := commandOf(line); ok {
					seen++
					checkCommand(t, path, command)
				}
			}
		}
		return nil
	})
	if err != nil || seen < 50 {
		t.Errorf("%d commands were found, %v", seen, err)
	}
}

// commandOf gives the words behind mirrorfs of a line that shows how to call it. One that shows what
// there is to choose from is none.
func commandOf(line string) ([]string, bool) {
	line, ok := strings.CutPrefix(prompt.ReplaceAllString(strings.TrimSpace(line), ""), "mirrorfs ")
	line, _, _ = strings.Cut(line, "  ") // what follows tells what it does
	line, _, _ = strings.Cut(line, " #")
	if !ok || strings.ContainsAny(line, "|[<>") || strings.Contains(line, "...") {
		return nil, false
	}
	var words []string
	for _, w := range word.FindAllString(line, -1) {
		words = append(words, strings.Trim(w, `"'`))
	}
	return words, len(words) > 0
}

func checkCommand(t *testing.T, path string, words []string) {
	t.Helper()
	cmd, args, err := main.NewRoot(io.Discard, io.Discard).Find(words)
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err == nil && !cmd.Runnable() {
		t.Errorf("%s shows mirrorfs %q, which is no command", path, words)
	}
	if err != nil {
		t.Errorf("%s shows mirrorfs %q: %v", path, words, err)
	}
}
