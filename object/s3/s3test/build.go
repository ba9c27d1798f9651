package s3test

import (
	"bytes"
	"context"
	_ "embed" // for the pinned modules
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed versitygw.mod
var toolMod []byte

//go:embed versitygw.sum
var toolSum []byte

// build gives the path of the server's binary, in Go's build cache. It works
// wherever the go command does, outside of this source tree too.
func build(ctx context.Context) (path string, err error) {
	dir, err := os.MkdirTemp("", "mirrorfs-versitygw-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, data := range map[string][]byte{"go.mod": toolMod, "go.sum": toolSum} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "versitygw")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building versitygw: %w: %s", err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}
