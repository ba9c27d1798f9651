package main_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/spf13/cobra"

	main "mirrorfs/cmd/mirrorfs"
)

// walk visits every command below cmd, cmd included.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	root := main.NewRoot(io.Discard, io.Discard)
	seen := 0
	walk(root, func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd != root {
			return
		}
		seen++
		for what, text := range map[string]string{"Short": cmd.Short, "Long": cmd.Long, "Example": cmd.Example} {
			if text == "" {
				t.Errorf("%s has no %s", cmd.CommandPath(), what)
			}
		}
		if cmd.Args == nil {
			t.Errorf("%s does not check its arguments", cmd.CommandPath())
		}
	})
	if seen < 5 {
		t.Errorf("saw %d commands: the walk is broken", seen)
	}
}

func TestHelpSucceedsAndShowsTheExample(t *testing.T) {
	root := main.NewRoot(io.Discard, io.Discard)
	walk(root, func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() {
			return
		}
		var out, errs bytes.Buffer
		path := pathBelow(cmd)
		code := main.Run(t.Context(), &out, &errs, append(path, "--help"))
		if code != 0 || !bytes.Contains(out.Bytes(), []byte("Examples:")) {
			t.Errorf("%v --help: code %d\n%s%s", path, code, out.String(), errs.String())
		}
	})
}

// pathBelow gives the arguments that name cmd.
func pathBelow(cmd *cobra.Command) []string {
	if !cmd.HasParent() {
		return nil
	}
	return append(pathBelow(cmd.Parent()), cmd.Name())
}

func TestWrongUsageIsTwo(t *testing.T) {
	for _, args := range [][]string{
		{"frobnicate"},
		{"version", "too", "many"},
		{"version", "--frob"},
		{"version", "--log-level", "loud"},
		{"version", "--log-format", "xml"},
		{"local", "stop"},
		{"local", "sing"},
	} {
		var out, errs bytes.Buffer
		if code := main.Run(t.Context(), &out, &errs, args); code != 2 {
			t.Errorf("%q: code %d, want 2\n%s", args, code, errs.String())
		}
		if out.Len() != 0 {
			t.Errorf("%q: wrote to stdout: %s", args, out.String())
		}
	}
}
