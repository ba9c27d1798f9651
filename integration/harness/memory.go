package harness

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// peakMemory looks at a process until it has ended, and gives the most bytes that it had resident. What
// wait4 tells begins with the memory of who started it.
func peakMemory(pid int, ended <-chan struct{}) (most int64) {
	const every = 5 * time.Millisecond
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // of a process that is gone: nothing
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
			var kib int64
			if _, err := fmt.Sscan(string(rest), &kib); err == nil {
				most = max(most, kib<<10)
			}
		}
		select {
		case <-ended:
			return most
		case <-look.C:
		}
	}
}
