package gateway

import (
	"strconv"
	"strings"
)

// parseRange gives the bytes of an object that a Range header asks for. ok is false when it asks for all:
// S3 ignores what it does not understand, and several ranges. InvalidRange when nothing is there.
func parseRange(header string, size int64) (off, n int64, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	first, last, isRange := strings.Cut(spec, "-")
	if !isBytes || !isRange || first == "" && last == "" || strings.ContainsAny(spec, ", ") {
		return 0, size, false, nil
	}
	if first == "" {
		k, valid := parseOffset(last)
		switch {
		case !valid:
			return 0, size, false, nil
		case k == 0 || size == 0:
			return 0, 0, false, refuse(InvalidRange)
		}
		k = min(k, size)
		return size - k, k, true, nil
	}
	from, valid := parseOffset(first)
	to, toValid := size-1, true
	if last != "" {
		to, toValid = parseOffset(last)
	}
	switch {
	case !valid || !toValid || last != "" && to < from:
		return 0, size, false, nil
	case from >= size:
		return 0, 0, false, refuse(InvalidRange)
	}
	to = min(to, size-1)
	return from, to - from + 1, true, nil
}

// parseOffset reads a number of decimal digits. One that is too large for any object is as large as can be.
func parseOffset(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil { // too large
		return 1<<63 - 1, s != ""
	}
	return v, true
}
