package handlers

import (
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
		},
		open: func(v values) (block.Store, error) {
			return file.Open(v.string("path"), file.Options{
				Size:     v.int64("size"),
				Thick:    !v.bool("thin"),
				Direct:   v.bool("direct"),
				ReadOnly: v.bool("read_only"),
			})
		},
	},
	{
		Name: "mem",
		Doc:  "A disk in memory, which is empty after each start. Memory is taken 64 KiB at a time when blocks are written, and UNMAP gives it back.",
		Keys: []Key{
			{Name: "size", Type: Size, Required: true, Doc: "The size of the disk."},
		},
		open: func(v values) (block.Store, error) { return mem.New(v.int64("size")) },
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
