package files

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Inline tells whether a file of a media type may be shown as it is: pictures, video and
// sound, that run nothing. Everything else is for downloading.
func Inline(mediaType string) bool { return Kind(mediaType) != "" }

// Kind is how a page shows a media type: image, video, audio; "": not at all.
func Kind(mediaType string) string {
	if !slices.Contains(shown, mediaType) {
		return ""
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	return kind
}

// shown are the types that pages show. SVG is not among them: it runs scripts.
var shown = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif",
	"video/mp4", "video/webm", "video/quicktime", "video/3gpp", "video/ogg",
	"audio/mpeg", "audio/mp4", "audio/wave", "audio/aiff", "audio/basic", "audio/ogg", "audio/amr",
}

// brands are those of the box "ftyp", with which films of phones begin and the standard
// library does not tell apart.
var brands = map[string]string{
	"qt  ": "video/quicktime", "isom": "video/mp4", "iso2": "video/mp4", "iso4": "video/mp4", "iso5": "video/mp4", "iso6": "video/mp4",
	"avc1": "video/mp4", "M4V ": "video/mp4", "MSNV": "video/mp4", "dash": "video/mp4", "mp41": "video/mp4", "mp42": "video/mp4",
	"3gp4": "video/3gpp", "3gp5": "video/3gpp", "3gp6": "video/3gpp", "3g2a": "video/3gpp", "M4A ": "audio/mp4",
	"avif": "image/avif", "heic": "image/heic", "heix": "image/heic", "mif1": "image/heic",
}

// typeOf is the media type of a file by what it begins with. What is stated, or its
// name says, counts only where it looks like nothing, and never makes it something that is shown.
func typeOf(r io.ReaderAt, name, stated string) (string, error) {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	return sniff(head[:n], name, stated), nil
}

func sniff(head []byte, name, stated string) string {
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		if kind := brands[string(head[8:12])]; kind != "" {
			return kind
		}
	}
	if bytes.HasPrefix(head, []byte("#!AMR")) {
		return "audio/amr"
	}
	looks := plainType(http.DetectContentType(head))
	switch looks {
	case "application/ogg":
		if strings.HasPrefix(plainType(stated), "video/") {
			return "video/ogg"
		}
		return "audio/ogg"
	case "application/octet-stream", "text/plain", "application/zip", "text/xml":
		for _, other := range []string{plainType(stated), plainType(mime.TypeByExtension(filepath.Ext(name)))} {
			if modest(other) {
				return other
			}
		}
	}
	return looks
}

// modest tells types that whoever states them may give a file: a browser does nothing
// with one, and no page shows it.
func modest(kind string) bool {
	top, _, ok := strings.Cut(kind, "/")
	return ok && top == "application" && !strings.HasSuffix(kind, "xml") && !strings.Contains(kind, "script") && !strings.Contains(kind, "html") ||
		kind == "text/csv" || kind == "text/calendar" || kind == "text/vcard" || kind == "text/plain"
}

func plainType(s string) string {
	kind, _, err := mime.ParseMediaType(s)
	if err != nil || len(kind) > 100 {
		return ""
	}
	return kind
}

// longestName is the longest name of a file, in bytes.
const longestName = 120

// CleanName is the name of a file as it is kept: the last part of a path, without what
// could turn a line around or end it.
func CleanName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`"<>:|?*`, r) {
			return -1
		}
		return r
	}, name)
	name = strings.Trim(strings.Join(strings.Fields(name), " "), ". ")
	if name == "" {
		return "file"
	}
	if len(name) > longestName {
		end := filepath.Ext(name)
		if len(end) > 20 {
			end = ""
		}
		name = strings.ToValidUTF8(name[:longestName-len(end)], "") + end
	}
	return name
}
