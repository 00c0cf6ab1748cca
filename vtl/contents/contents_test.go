package contents

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
)

// tape is a medium with objects on partition 0, a filemark for nil.
func tape(tb testing.TB, key *medium.Key, objects ...[]byte) medium.Medium {
	tb.Helper()
	m, err := memtape.New(medium.Info{Barcode: "TG0001L8", Type: "LTO-8"}, 1<<30).Mount(false)
	if err != nil {
		tb.Fatal(err)
	}
	for i, b := range objects {
		if b == nil {
			err = m.WriteFilemarks(0, uint64(i), 1)
		} else {
			err = m.Write(0, uint64(i), b, medium.Recording{Key: key})
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

func label80(s string) []byte { return []byte(fmt.Sprintf("%-80s", s)) }

func list(tb testing.TB, m medium.Medium, key *medium.Key) (files []File) {
	tb.Helper()
	if err := List(tb.Context(), m, 0, key, func(f File) error { files = append(files, f); return nil }); err != nil {
		tb.Fatal(err)
	}
	return files
}

// TestList: files with and without blocks, at the end with and without a filemark.
func TestList(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects [][]byte
		want    []File
	}{
		{"blank", nil, nil},
		{"a filemark", [][]byte{nil}, []File{{}}},
		{"open end", [][]byte{{1}, {2, 3, 4}, nil, {5}}, []File{
			{Blocks: 2, Bytes: 4, Shortest: 1, Longest: 3}, {Number: 1, First: 3, Blocks: 1, Bytes: 1, Shortest: 1, Longest: 1}}},
		{"two filemarks at the end", [][]byte{{1}, nil, nil}, []File{{Blocks: 1, Bytes: 1, Shortest: 1, Longest: 1}, {Number: 1, First: 2}}},
	} {
		m := tape(t, nil, c.objects...)
		got := list(t, m, nil)
		if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want); a != b {
			t.Errorf("%s: %s, want %s", c.name, a, b)
		}
		for _, f := range got {
			g, err := Find(m, 0, f.Number)
			if err != nil || g.First != f.First || g.Blocks != f.Blocks {
				t.Errorf("%s: Find %d: %+v, %v", c.name, f.Number, g, err)
			}
			b, err := io.ReadAll(NewReader(m, g, nil))
			if err != nil || int64(len(b)) != f.Bytes {
				t.Errorf("%s: file %d read as % x, %v", c.name, f.Number, b, err)
			}
		}
		if _, err := Find(m, 0, m.Partition(0).Filemarks+1); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: past the end: %v", c.name, err)
		}
	}
	m := tape(t, nil, []byte{1}, nil)
	if err := List(t.Context(), m, 1, nil, nil); err == nil {
		t.Error("a partition that is not there")
	}
	stop := errors.New("enough")
	if err := List(t.Context(), m, 0, nil, func(File) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

func TestEncrypted(t *testing.T) {
	key := &medium.Key{AES: [32]byte{1}}
	m := tape(t, key, label80("VOL1TG0001"), nil)
	if f := list(t, m, nil); len(f) != 1 || !f[0].Encrypted || len(f[0].Labels) > 0 || f[0].Bytes != 80 {
		t.Errorf("without the key: %+v", f)
	}
	if f := list(t, m, key); len(f) != 1 || f[0].Encrypted || len(f[0].Labels) != 1 {
		t.Errorf("with the key: %+v", f)
	}
	f, err := Find(m, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(NewReader(m, f, nil)); !errors.Is(err, medium.ErrKeyNeeded) {
		t.Errorf("read without the key: %v", err)
	}
}

func tarBlock(tb testing.TB, h *tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(h); err != nil {
		tb.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, 10240-b.Len())...)
}

// baculaBlock is a block with one record.
func baculaBlock(index int32, data []byte) []byte {
	b := make([]byte, 8, 64512)
	b = binary.BigEndian.AppendUint32(b, 7)
	b = append(b, "BB02\x00\x00\x00\x01\x00\x00\x00\x02"...)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	b = binary.BigEndian.AppendUint32(b, 5)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)))
	return b
}

func baculaVolume() []byte {
	b := []byte("Bacula 1.0 immortal\n\x00")
	b = binary.BigEndian.AppendUint32(b, 11)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC).UnixMicro()))
	b = append(b, make([]byte, 24)...)
	for _, s := range []string{"Vol-0001", "", "Default", "Backup", "LTO-8", "host", "label", "9.6.7", "2020-12-10"} {
		b = append(append(b, s...), 0)
	}
	return b
}

func baculaSession() []byte {
	b := []byte("Bacula 1.0 immortal\n\x00")
	b = binary.BigEndian.AppendUint32(b, 11)
	b = binary.BigEndian.AppendUint32(b, 42)
	b = append(b, make([]byte, 16)...)
	for _, s := range []string{"Default", "Backup", "nightly", "db-fd", "nightly.2026-11-28_01", "Full Set"} {
		b = append(append(b, s...), 0)
	}
	return b
}

func ebcdic(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := charmap.CodePage037.NewEncoder().Bytes(label80(s))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestIdentify(t *testing.T) {
	modified := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	dumped := make([]byte, 1024)
	binary.LittleEndian.PutUint32(dumped[4:], 1<<30)
	binary.LittleEndian.PutUint32(dumped[24:], 60012)
	vol := label80("VOL1TG0001")
	copy(vol[37:], "OWNER")
	vol[79] = '4'
	hdr := label80("HDR1BACKUP.DATA      SETID1000100020001")
	ltfsVol := slices.Clone(vol)
	copy(ltfsVol[24:], "LTFS")
	index := `<?xml version="1.0" encoding="UTF-8"?><ltfsindex version="2.4.0"><creator>x</creator><volumeuuid>u-1</volumeuuid>` +
		`<generationnumber>7</generationnumber><location><partition>b</partition><startblock>5</startblock></location>` +
		`<directory><name>root</name><contents><file><name>a</name></file><file><name>b`
	for _, c := range []struct {
		name, kind, text string
		field, value     string
		block            []byte
	}{
		{"VOL1", "ANSI", "VOL1 volume TG0001", "owner", "OWNER", vol},
		{"HDR1", "ANSI", "HDR1 file header BACKUP.DATA", "sequence", "0002", hdr},
		{"EOV2", "ANSI", "EOV2 end of volume", "block length", "32768", label80("EOV2D3276800080")},
		{"EBCDIC", "IBM", "VOL1 volume IBM001", "volume", "IBM001", ebcdic(t, "VOL1IBM001")},
		{"LTFS volume", "LTFS", "VOL1 volume TG0001", "volume", "TG0001", ltfsVol},
		{"LTFS label", "LTFS", "label of volume u-2, partition a", "blocksize", "524288",
			[]byte(`<?xml version="1.0"?><ltfslabel><volumeuuid>u-2</volumeuuid><location><partition>a</partition></location><blocksize>524288</blocksize></ltfslabel>`)},
		{"LTFS index, cut", "LTFS", "index, generation 7, 2 files in 1 directories", "location startblock", "5", []byte(index)},
		{"Amanda tape", "Amanda", "TAPESTART DATE 20261128 TAPE Daily-01", "tape", "Daily-01", []byte("AMANDA: TAPESTART DATE 20261128 TAPE Daily-01\n\x0c\n")},
		{"Amanda file", "Amanda", "FILE 20261128 host /home lev 0 comp .gz program /bin/tar", "disk", "/home",
			[]byte("AMANDA: FILE 20261128 host /home lev 0 comp .gz program /bin/tar\n")},
		{"Bacula volume", "Bacula", "volume Vol-0001, pool Default (Bacula 1.0 immortal)", "labelled", "2026-11-28T00:00:00Z", baculaBlock(-2, baculaVolume())},
		{"Bacula session", "Bacula", "start of session, job nightly.2026-11-28_01, client db-fd", "job id", "42", baculaBlock(-4, baculaSession())},
		{"Bacula data", "Bacula", "blocks from 7 on, of file 3", "stream", "5", baculaBlock(3, make([]byte, 100))},
		{"Bacula volume, cut", "Bacula", "blocks", "", "", baculaBlock(-2, baculaVolume()[:60])},
		{"tar", "tar", "begins with etc/passwd", "size", "12", tarBlock(t, &tar.Header{Name: "etc/passwd", Size: 12, Mode: 0o644, ModTime: modified})},
		{"cpio newc", "cpio", "begins with etc/hosts", "", "", []byte("070701" + strings.Repeat("0", 88) + "0000000A" + "00000000" + "etc/hosts\x00")},
		{"cpio odc", "cpio", "begins with x", "", "", []byte("070707" + strings.Repeat("0", 53) + "000002" + strings.Repeat("0", 11) + "x\x00")},
		{"cpio binary", "cpio", "begins with y", "", "", []byte("\xc7\x71" + strings.Repeat("\x00", 18) + "\x02\x00\x00\x00\x00\x00y\x00")},
		{"dump", "dump", "of 2004-01-10T13:37:04Z", "", "", dumped},
		{"gzip", "compressed data", "gzip", "", "", []byte("\x1f\x8b\x08\x00")},
		{"control characters", "Amanda", "TAPESTART DATE X TAPE a??[31m", "", "", []byte("AMANDA: TAPESTART DATE X TAPE a\x00\x1b[31m\n")},
		{"nothing known", "", "", "", "", bytes.Repeat([]byte{0xa5}, 512)},
		{"zeros", "", "", "", "", make([]byte, 10240)},
		{"short", "", "", "", "", []byte{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ok := Identify(c.block, len(c.block))
			if ok != (c.kind != "") || l.Kind != c.kind || l.Text != c.text || l.Fields[c.field] != c.value {
				t.Errorf("%v %+v", ok, l)
			}
		})
	}
	// A label set: all labels of the file.
	f := list(t, tape(t, nil, vol, hdr, label80("HDR2D3276800080"), nil), nil)
	if len(f) != 1 || len(f[0].Labels) != 3 {
		t.Errorf("label set: %+v", f)
	}
}

// FuzzIdentify: no block panics, and what is printed has no control characters.
func FuzzIdentify(f *testing.F) {
	f.Add(label80("VOL1TG0001"))
	f.Add(ebcdic(f, "HDR1X"))
	f.Add(baculaBlock(-2, baculaVolume()))
	f.Add(baculaBlock(-4, baculaSession()))
	f.Add(tarBlock(f, &tar.Header{Name: "a", Mode: 0o644}))
	f.Add([]byte("<ltfsindex><generationnumber>1</generationnumber></ltfsindex>"))
	f.Add([]byte("AMANDA: FILE a b c"))
	f.Add([]byte("070701" + strings.Repeat("0", 88) + "0000000A" + "00000000" + "etc/hosts\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := Identify(b, len(b))
		if !ok {
			return
		}
		if clean(l.Text) != l.Text {
			t.Errorf("%q", l.Text)
		}
		for k, v := range l.Fields {
			if clean(v) != v {
				t.Errorf("%s: %q", k, v)
			}
		}
		if _, err := json.Marshal(l); err != nil {
			t.Error(err)
		}
	})
}
