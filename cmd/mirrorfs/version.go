package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the version command prints.
type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// version reads what the linker noted of the build.
func version() versionInfo {
	v := versionInfo{Version: "unknown", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}

func newVersionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the program's version",
		Long:    "Print the program's version, the commit it was built from, and the Go release that built it.",
		Example: "  mirrorfs version\n  mirrorfs version --json",
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v := version()
			return c.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "mirrorfs %s %s %s/%s\n", v.Version, v.Go, v.OS, v.Arch)
			})
		},
	}
}
