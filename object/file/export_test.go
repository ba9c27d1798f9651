package file

// RelPath is relPath, for tests.
func RelPath(key string) string { return relPath(key) }

// ParseName is parseName, for tests.
func ParseName(name string) (text string, more, ok bool) {
	p, ok := parseName(name)
	return p.text, p.more, ok
}
