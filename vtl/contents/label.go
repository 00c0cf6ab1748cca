package contents

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/charmap"
)

// Label is what the beginning of a file says of itself.
type Label struct {
	Kind string `json:"kind"` // "ANSI", "tar", "Bacula", ...
	Text string `json:"text"` // one line for people
	// Fields are the label's own, by the names of its program's documents.
	Fields map[string]string `json:"fields,omitempty"`
}

// kind is a row of the table of labels.
type kind struct {
	name string
	// find takes the beginning of a block of length bytes; ok is false when it is no such label.
	find func(b []byte, length int) (text string, fields map[string]string, ok bool)
}

// kinds in the order in which they are tried: the more a label proves, the earlier.
var kinds = []kind{
	{"LTFS", ltfs},
	{"ANSI", ansi},
	{"IBM", ibm},
	{"Amanda", amanda},
	{"Bacula", bacula},
	{"tar", tarArchive},
	{"cpio", cpio},
	{"dump", dump},
	{"compressed data", compressed},
}

// Identify finds out what the block that begins with b and has length bytes begins.
func Identify(b []byte, length int) (Label, bool) {
	for _, k := range kinds {
		if text, fields, ok := k.find(b, length); ok {
			for name, v := range fields {
				fields[name] = clean(v)
			}
			return Label{Kind: k.name, Text: clean(text), Fields: fields}, true
		}
	}
	return Label{}, false
}

// clean makes text from a tape fit for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}

// ansiLen is the length of the labels of ISO 1001 (ANSI X3.27), in bytes.
const ansiLen = 80

// ansiNames are the label identifiers (ISO 1001, 6), with their meaning.
var ansiNames = map[string]string{"VOL": "volume", "UVL": "user volume label", "HDR": "file header", "UHL": "user header label",
	"EOF": "end of file", "EOV": "end of volume", "UTL": "user trailer label"}

func ansi(b []byte, length int) (string, map[string]string, bool) {
	if length != ansiLen || len(b) < ansiLen {
		return "", nil, false
	}
	number := b[3]
	meaning, ok := ansiNames[string(b[:3])]
	if !ok || number < '0' || number > '9' {
		return "", nil, false
	}
	field := func(from, to int) string { return strings.TrimSpace(string(b[from-1 : to])) } // as the standard counts
	f := map[string]string{"label": string(b[:4])}
	text := string(b[:4]) + " " + meaning
	switch string(b[:4]) {
	case "VOL1":
		f["volume"], f["implementation"], f["owner"], f["version"] = field(5, 10), field(25, 37), field(38, 51), field(80, 80)
		text += " " + f["volume"]
	case "HDR1", "EOF1", "EOV1":
		f["file"], f["set"], f["section"], f["sequence"] = field(5, 21), field(22, 27), field(28, 31), field(32, 35)
		f["created"], f["expires"], f["blocks"], f["system"] = field(42, 47), field(48, 53), field(55, 60), field(61, 73)
		text += " " + f["file"]
	case "HDR2", "EOF2", "EOV2":
		f["format"], f["block length"], f["record length"] = field(5, 5), field(6, 10), field(11, 15)
	default:
		f["text"] = field(5, 80)
	}
	return text, f, true
}

// ibm is a label of IBM, whose fields lie as those of ANSI do but for the owner, in EBCDIC.
func ibm(b []byte, length int) (string, map[string]string, bool) {
	if length != ansiLen || len(b) < ansiLen {
		return "", nil, false
	}
	text, err := charmap.CodePage037.NewDecoder().Bytes(b[:ansiLen])
	if err != nil || len(text) != ansiLen {
		return "", nil, false
	}
	s, f, ok := ansi(text, length)
	if ok && f["label"] == "VOL1" {
		f["owner"] = strings.TrimSpace(string(text[41:51]))
		delete(f, "implementation")
		delete(f, "version")
	}
	return s, f, ok
}

// ltfs is a label or an index of the Linear Tape File System (ISO/IEC 20919, 8.1 and 9).
func ltfs(b []byte, length int) (string, map[string]string, bool) {
	if length == ansiLen && len(b) >= ansiLen && string(b[:4]) == "VOL1" && string(b[24:28]) == "LTFS" {
		volume := strings.TrimSpace(string(b[4:10]))
		return "VOL1 volume " + volume, map[string]string{"label": "VOL1", "volume": volume}, true
	}
	head := b[:min(len(b), 512)]
	if !bytes.Contains(head, []byte("<ltfslabel")) && !bytes.Contains(head, []byte("<ltfsindex")) {
		return "", nil, false
	}
	// An index may be longer than its first block: what is there is read, up to the first fault.
	d := xml.NewDecoder(bytes.NewReader(b))
	f := map[string]string{}
	var path []string
	files, directories, root := 0, 0, ""
	for {
		t, err := d.Token()
		if err != nil {
			break
		}
		switch t := t.(type) {
		case xml.StartElement:
			if root == "" {
				root = t.Name.Local
			}
			path = append(path, t.Name.Local)
			switch t.Name.Local {
			case "file":
				files++
			case "directory":
				directories++
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); s != "" && (len(path) == 2 || len(path) == 3 && path[1] != "directory") {
				f[strings.Join(path[1:], " ")] = s
			}
		}
	}
	switch root {
	case "ltfslabel":
		return "label of volume " + f["volumeuuid"] + ", partition " + f["location partition"], f, true
	case "ltfsindex":
		f["files"], f["directories"] = strconv.Itoa(files), strconv.Itoa(directories)
		return fmt.Sprintf("index, generation %s, %d files in %d directories", f["generationnumber"], files, directories), f, true
	}
	return "", nil, false
}

// amanda is the header of Amanda's tapes: a line of text in a block of 32 KiB.
func amanda(b []byte, _ int) (string, map[string]string, bool) {
	const magic = "AMANDA: "
	if !bytes.HasPrefix(b, []byte(magic)) {
		return "", nil, false
	}
	line, _, _ := bytes.Cut(b[:min(len(b), 1024)], []byte("\n"))
	words := strings.Fields(string(line[len(magic):]))
	if len(words) == 0 {
		return "", nil, false
	}
	f := map[string]string{"type": words[0]}
	var names []string
	switch words[0] {
	case "TAPESTART", "TAPEEND":
		for i := 1; i+1 < len(words); i += 2 {
			f[strings.ToLower(words[i])] = words[i+1]
		}
	case "FILE", "CONT_FILE", "SPLIT_FILE":
		names = []string{"date", "host", "disk"}
	}
	for i, n := range names {
		if i+1 < len(words) {
			f[n] = words[i+1]
		}
	}
	return strings.Join(words, " "), f, true
}

// bacula is a block of Bacula or Bareos: a header of 24 bytes, then records of 12 bytes and their
// data. Negative file indexes are labels.
func bacula(b []byte, length int) (string, map[string]string, bool) {
	const headerLen, recordLen = 24, 12
	if len(b) < headerLen+recordLen || string(b[12:16]) != "BB02" {
		return "", nil, false
	}
	if n := binary.BigEndian.Uint32(b[4:]); n < headerLen || int64(n) > int64(length) {
		return "", nil, false
	}
	f := map[string]string{"block": strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[8:])), 10)}
	index, stream := int32(binary.BigEndian.Uint32(b[headerLen:])), int32(binary.BigEndian.Uint32(b[headerLen+4:]))
	r := fields{b: b[headerLen+recordLen:]}
	const (
		preLabel = -1 - iota
		volumeLabel
		endOfMedium
		startOfSession
		endOfSession
	)
	session := map[int32]string{startOfSession: "start of session", endOfSession: "end of session"}
	switch index {
	case preLabel, volumeLabel:
		f["id"] = r.text()
		version := r.u32()
		labelled := r.u64()
		r.skip(3 * 8) // when it was written last, twice
		for _, name := range []string{"volume", "previous volume", "pool", "pool type", "media type", "host", "program", "program version", "program date"} {
			f[name] = r.text()
		}
		if version >= 11 {
			f["labelled"] = time.UnixMicro(int64(labelled)).UTC().Format(time.RFC3339)
		}
		if r.short {
			return "blocks", nil, true
		}
		return fmt.Sprintf("volume %s, pool %s (%s)", f["volume"], f["pool"], strings.TrimSpace(f["id"])), f, true
	case startOfSession, endOfSession:
		f["id"] = r.text()
		r.u32() // version
		f["job id"] = strconv.FormatUint(uint64(r.u32()), 10)
		r.skip(2 * 8) // when
		for _, name := range []string{"pool", "pool type", "job name", "client", "job", "file set"} {
			f[name] = r.text()
		}
		if r.short {
			return "blocks", nil, true
		}
		return session[index] + ", job " + f["job"] + ", client " + f["client"], f, true
	}
	f["file index"], f["stream"] = strconv.Itoa(int(index)), strconv.Itoa(int(stream))
	return fmt.Sprintf("blocks from %s on, of file %d", f["block"], index), f, true
}

// fields takes values off the front of b; short tells that there were too few.
type fields struct {
	b     []byte
	short bool
}

func (r *fields) skip(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *fields) u32() uint32 { return binary.BigEndian.Uint32(r.skip(4)) }
func (r *fields) u64() uint64 { return binary.BigEndian.Uint64(r.skip(8)) }

// text is a string that ends with a zero; those of labels have at most 128 bytes.
func (r *fields) text() string {
	i := bytes.IndexByte(r.b[:min(len(r.b), 256)], 0)
	if i < 0 {
		r.short, r.b = true, nil
		return ""
	}
	s := string(r.b[:i])
	r.b = r.b[i+1:]
	return strings.TrimRight(s, "?")
}

func tarArchive(b []byte, _ int) (string, map[string]string, bool) {
	if len(b) < 512 {
		return "", nil, false
	}
	h, err := tar.NewReader(bytes.NewReader(b)).Next()
	if err != nil { // the checksum of the header is wrong, too
		return "", nil, false
	}
	const gnuVolume, gnuContinued = 'V', 'M'
	f := map[string]string{"name": h.Name, "size": strconv.FormatInt(h.Size, 10), "modified": h.ModTime.UTC().Format(time.RFC3339)}
	switch h.Typeflag {
	case gnuVolume:
		return "volume " + h.Name, f, true
	case gnuContinued:
		return "goes on with " + h.Name, f, true
	}
	return "begins with " + h.Name, f, true
}

// cpioForms are the headers of cpio archives: the length of the name stands in the
// digits from..to, to the base, and the name behind the header.
var cpioForms = []struct {
	magic        string
	from, to     int
	base, header int
}{
	{"070707", 59, 65, 8, 76},
	{"070701", 94, 102, 16, 110},
	{"070702", 94, 102, 16, 110},
}

func cpio(b []byte, _ int) (string, map[string]string, bool) {
	for _, c := range cpioForms {
		if len(b) < c.header || string(b[:6]) != c.magic {
			continue
		}
		n, err := strconv.ParseUint(string(b[c.from:c.to]), c.base, 32)
		if err != nil || n == 0 {
			return "", nil, false
		}
		return cpioName(b[c.header:], n)
	}
	const binaryHeader = 26
	if len(b) < binaryHeader {
		return "", nil, false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if n := order.Uint16(b[20:]); order.Uint16(b) == 0o070707 && n > 0 {
			return cpioName(b[binaryHeader:], uint64(n))
		}
	}
	return "", nil, false
}

func cpioName(b []byte, n uint64) (string, map[string]string, bool) {
	name := clean(string(bytes.TrimRight(b[:min(uint64(len(b)), n)], "\x00")))
	return "begins with " + name, map[string]string{"name": name}, true
}

// dump is the header of dump(8), for the file systems of BSD and of ext, or of xfsdump.
func dump(b []byte, _ int) (string, map[string]string, bool) {
	if bytes.HasPrefix(b, []byte("xFSdump0")) {
		return "of xfsdump", nil, true
	}
	if len(b) < 1024 {
		return "", nil, false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(b[24:]) {
		case 60011, 60012:
			at := time.Unix(int64(order.Uint32(b[4:])), 0).UTC().Format(time.RFC3339)
			return "of " + at, map[string]string{"date": at}, true
		}
	}
	return "", nil, false
}

func compressed(b []byte, _ int) (string, map[string]string, bool) {
	for _, c := range []struct{ name, magic string }{{"gzip", "\x1f\x8b\x08"}, {"zstd", "\x28\xb5\x2f\xfd"},
		{"xz", "\xfd7zXZ\x00"}, {"bzip2", "BZh"}, {"lz4", "\x04\x22\x4d\x18"}} {
		if bytes.HasPrefix(b, []byte(c.magic)) {
			return c.name, nil, true
		}
	}
	return "", nil, false
}
