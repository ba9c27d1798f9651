package file

import (
	"strings"

	"mirrorfs/object"
)

// A key becomes a path component by component. A component is cut into pieces of
// exactly pieceBytes, and a last one that is shorter, perhaps empty. All but the
// last are directories with the suffix moreMark. Because a last piece is always
// shorter than the others, the keys below two names of one directory never
// interleave, which is what lets List walk directories in order.
const (
	pieceBytes = 80   // escaped at most 240, with the mark within the usual 255
	emptyPiece = "%_" // the name of an empty piece
	moreMark   = "%+" // ends the name of a piece that the next one continues
	tempDir    = ".mirrorfs-tmp"
)

const upperHex = "0123456789ABCDEF"

// relPath is the path below the root of key's file.
func relPath(key string) string {
	var b strings.Builder
	b.Grow(len(key) + 8)
	for {
		component, rest, more := strings.Cut(key, "/")
		appendComponent(&b, component)
		if !more {
			return b.String()
		}
		b.WriteByte('/')
		key = rest
	}
}

func appendComponent(b *strings.Builder, c string) {
	for len(c) >= pieceBytes {
		appendPiece(b, c[:pieceBytes])
		b.WriteString(moreMark + "/")
		c = c[pieceBytes:]
	}
	appendPiece(b, c)
}

func appendPiece(b *strings.Builder, piece string) {
	switch piece {
	case "":
		b.WriteString(emptyPiece)
	case ".", "..", tempDir:
		b.WriteString("%2E" + piece[1:])
	default:
		for i := range len(piece) {
			if c := piece[i]; c < ' ' || c > '~' || c == '%' {
				b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
			} else {
				b.WriteByte(c)
			}
		}
	}
}

// piece is a name in a directory, read back.
type piece struct {
	text string // what the name stands for in a key
	more bool   // it is a directory of longer components
}

// parseName undoes appendPiece and moreMark; false if they never made the name.
func parseName(name string) (piece, bool) {
	var p piece
	body, more := strings.CutSuffix(name, moreMark)
	p.more = more
	if body != emptyPiece {
		var ok bool
		if p.text, ok = unescape(body); !ok {
			return piece{}, false
		}
	}
	var again strings.Builder
	appendPiece(&again, p.text)
	if more != (len(p.text) == pieceBytes) || len(p.text) > pieceBytes {
		return piece{}, false
	}
	return p, again.String() == body
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), true
}

// path is the file of a key, or ErrInvalid.
func (s *Store) path(key string) (string, error) {
	if err := object.CheckKey(key); err != nil {
		return "", err
	}
	return s.root + "/" + relPath(key), nil
}
