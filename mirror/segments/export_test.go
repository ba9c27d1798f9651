package segments

// Encode makes the object of a segment.
func Encode(s *Segment) ([]byte, error) {
	e, err := newEncoder()
	if err != nil {
		return nil, err
	}
	return e.encode(s), nil
}

// ParseName and AfterLast are for tests.
func ParseName(key string) (Name, bool) { return parseName(key) }
func AfterLast(seq uint64) string       { return afterLast(seq) }

// Key is key for tests.
func (n Name) Key() string { return n.key() }
