package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's size in bytes, written like 4MiB. Plain numbers are bytes.
type byteSize int64

// String writes the largest binary unit that divides the size.
func (b *byteSize) String() string {
	n := int64(*b)
	for _, u := range sizeUnits() {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Type names the kind of value in a flag's help.
func (b *byteSize) Type() string { return "size" }

// Set reads a number and a unit: B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB of
// powers of 1000; K, M, G, T are binary.
func (b *byteSize) Set(s string) error {
	n, err := parseBytes(s)
	if err == nil {
		*b = byteSize(n)
	}
	return err
}

type sizeUnit struct {
	name  string
	bytes int64
}

func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

func parseBytes(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGTiBkmgtb")
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(number >= 0) { // also refuses NaN
		return 0, fmt.Errorf("size %q: want a number and a unit, for example 4MiB", s)
	}
	units := map[string]float64{
		"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
		"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	}
	unit, ok := units[strings.ToLower(s[len(digits):])]
	if !ok || number*unit > math.MaxInt64/2 {
		return 0, fmt.Errorf("size %q: want a number and a unit, for example 4MiB", s)
	}
	return int64(number * unit), nil
}

// formatBytes writes a size for people, with three digits.
func formatBytes(n int64) string {
	for _, u := range sizeUnits() {
		if n >= u.bytes {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
