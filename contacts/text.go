package contacts

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// decode makes UTF-8 of a file as spreadsheets and phones write it: UTF-8 or UTF-16,
// with or without a byte order mark, else Windows-1252, in which every byte is
// something.
func decode(file []byte) string {
	utf16 := func(e unicode.Endianness) string {
		b, err := unicode.UTF16(e, unicode.UseBOM).NewDecoder().Bytes(file)
		if err != nil {
			return ""
		}
		return string(b)
	}
	switch {
	case bytes.HasPrefix(file, []byte("\xef\xbb\xbf")):
		return strings.ToValidUTF8(string(file[3:]), "\uFFFD")
	case bytes.HasPrefix(file, []byte("\xff\xfe")), zeros(file, 1):
		return utf16(unicode.LittleEndian)
	case bytes.HasPrefix(file, []byte("\xfe\xff")), zeros(file, 0):
		return utf16(unicode.BigEndian)
	case utf8.Valid(file):
		return string(file)
	}
	b, err := charmap.Windows1252.NewDecoder().Bytes(file)
	if err != nil {
		return ""
	}
	return string(b)
}

// zeros reports whether every second byte of a file's beginning is zero, as in Latin
// text in UTF-16.
func zeros(file []byte, first int) bool {
	begin := file[:min(len(file), 64)&^1]
	for i := first; i < len(begin); i += 2 {
		if begin[i] != 0 || begin[i^1] == 0 {
			return false
		}
	}
	return len(begin) > 0
}
