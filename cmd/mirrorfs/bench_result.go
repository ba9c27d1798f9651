package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// benchRow is one line of the table.
type benchRow struct {
	Job     string  `json:"job"`
	Threads int     `json:"threads"`
	Unit    string  `json:"unit"`
	Volume  float64 `json:"volume_per_second"`
	Disk    float64 `json:"disk_per_second"`
	// PingShare is the rate as a share of the PINGs of one connection.
	PingShare float64 `json:"ping_share,omitempty"`
	// RoundTrips is the calls of Redis per operation, or per MiB of a sequential job.
	RoundTrips float64 `json:"round_trips"`
}

// benchResult is what the benchmark found.
type benchResult struct {
	Machine           string     `json:"machine"`
	Dropped           bool       `json:"page_cache_dropped"`
	PingsPerSecond    float64    `json:"pings_per_second"`
	Rows              []benchRow `json:"rows"`
	RedisBytesPerFile float64    `json:"redis_bytes_per_file"`
	ClientBytes       int64      `json:"client_bytes"`
	ClientBytesMax    int64      `json:"client_bytes_max"`
}

func (r *benchResult) write(out io.Writer) {
	fmt.Fprintf(out, "\n%s\nRedis answers %.0f PINGs/s on one connection.\n", r.Machine, r.PingsPerSecond)
	if !r.Dropped {
		fmt.Fprintln(out, "The page cache could not be dropped: cold and warm rows of the disk are hot.")
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "job\tthreads\tmirrorfs\tlocal disk\tunit\tof disk\tof PING\tround trips\t")
	for _, row := range r.Rows {
		share := ""
		if row.PingShare > 0 {
			share = fmt.Sprintf("%.2f", row.PingShare)
		}
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%s/s\t%.2f\t%s\t%.2f\t\n", row.Job, row.Threads, row.Volume, row.Disk, row.Unit, row.Volume/row.Disk, share, row.RoundTrips)
	}
	_ = w.Flush()
	fmt.Fprintf(out, "\nRedis: %.0f bytes per file of 64 KiB, log apart.\nClient: %s resident at the end, at most %s.\n",
		r.RedisBytesPerFile, formatBytes(r.ClientBytes), formatBytes(r.ClientBytesMax))
}

// machine says what the numbers were measured on.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	release := ""
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	var si unix.Sysinfo_t
	memory := ""
	if unix.Sysinfo(&si) == nil {
		memory = ", " + formatBytes(int64(si.Totalram)*int64(si.Unit))
	}
	return fmt.Sprintf("%d x %s%s, Linux %s, %s, %s", runtime.NumCPU(), model, memory, release, runtime.Version(), version().Version)
}
