package handlers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/handlers/file"
	"github.com/targate/targate/handlers/mem"
	"github.com/targate/targate/handlers/null"
)

// kinds is the one list: a kind that is not in it does not exist.
var kinds = []Kind{
	{
		Name: "file",
		Doc:  "A disk in a regular file or on a block device.",
		Keys: []Key{
			{Name: "path", Type: Path, Required: true,
				Doc: "The file or block device. A file that is absent is created, readable by its owner only, when `size` is given."},
			{Name: "size", Type: Size,
				Doc: "The size of the disk. Without it: that of the file or device. A file that is smaller grows to it; a file that is larger is refused, since the rest of it would be cut off. Of a larger block device the first `size` bytes are served."},
			{Name: "thin", Type: Bool, Default: true,
				Doc: "Space is taken when blocks are written, and UNMAP gives it back by punching holes. `false`: all space is allocated at the start, and the disk is not thin provisioned."},
			{Name: "direct", Type: Bool, Default: false,
				Doc: "Bypass the page cache (O_DIRECT)."},
			{Name: "read_only", Type: Bool, Default: false,
				Doc: "Open for reading only. Several programs may then open the same file."},
			protectionKey,
			{Name: "dif_path", Type: Path,
				Doc: "Where the protection information is kept. Without it: beside `path`, with `.dif` behind its name."},
		},
		open: func(v values) (block.Store, error) {
			if err := noStrayDIF(v); err != nil {
				return nil, err
			}
			return file.Open(v.string("path"), file.Options{
				Size:     v.int64("size"),
				Thick:    !v.bool("thin"),
				Direct:   v.bool("direct"),
				ReadOnly: v.bool("read_only"),
			})
		},
		protection: func(v values, size int64) (block.Store, error) {
			path := difPath(v)
			if st, err := os.Stat(path); err == nil && st.Size() >= size {
				size = 0 // as long as it is: the disk was larger
			}
			return file.Open(path, file.Options{Size: size, ReadOnly: v.bool("read_only")})
		},
	},
	{
		Name: "mem",
		Doc:  "A disk in memory, which is empty after each start. Memory is taken 64 KiB at a time when blocks are written, and UNMAP gives it back.",
		Keys: []Key{
			{Name: "size", Type: Size, Required: true, Doc: "The size of the disk."},
			protectionKey,
		},
		open:       func(v values) (block.Store, error) { return mem.New(v.int64("size")) },
		protection: func(_ values, size int64) (block.Store, error) { return mem.New(size) },
	},
	{
		Name: "null",
		Doc:  "A disk that accepts writes, forgets them, and reads zeros: for measuring.",
		Keys: []Key{
			{Name: "size", Type: Size, Required: true, Doc: "The size of the disk."},
		},
		open: func(v values) (block.Store, error) { return null.New(v.int64("size")), nil },
	},
}

// protectionKey is the key of the kinds that can keep protection information.
var protectionKey = Key{Name: "protection", Type: Enum, Values: []string{"0", "1", "2", "3"}, Default: int64(0),
	Doc: "T10 protection information (DIF) for each block, of this type: 8 bytes that initiators may send and read with the data, and against which every read is checked. `0`: none. A disk that has some keeps its type until FORMAT UNIT gives it another."}

// difPath is where a file disk keeps its protection information.
func difPath(v values) string {
	if p := v.string("dif_path"); p != "" {
		return p
	}
	return v.string("path") + ".dif"
}

// noStrayDIF refuses a disk that would be written without the protection information
// that it has: later, with it, every block that was written would look corrupt.
func noStrayDIF(v values) error {
	if v.int64(protectionKey.Name) != 0 || v.bool("read_only") {
		return nil
	}
	path := difPath(v)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%s has protection information of the disk: set protection, or remove that file", path)
}
