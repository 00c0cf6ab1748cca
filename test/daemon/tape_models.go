package daemon

import (
	"os"
	"path/filepath"
)

// Models that tests of the tape library add to targate's: an LTO-8 drive that takes every block
// length there is, and cartridges for it that are filled in a moment.
const (
	TestDrive = "test-td8"
	// SmallBytes is the capacity of a cartridge whose barcode ends in T8, or TY for WORM;
	// TinyBytes that of one that ends in U8, or UY. One that ends in V8 holds the 10,000 records that
	// btape wants on the first of two cartridges.
	SmallBytes = 80_000_000
	TinyBytes  = 4_000_000
)

const tapeModels = `media:
  - {name: TEST-80M, density: 0x5E, type: 0x88, capacity: 80MB, suffix: T8, worm_type: 0x8C, worm_suffix: TY, partitions: 4,
     length: 960, width: 127, wraps: 208, mam: 16352, vendor: TARGATE}
  - {name: TEST-360M, density: 0x5E, type: 0x88, capacity: 360MB, suffix: V8, partitions: 4,
     length: 960, width: 127, wraps: 208, mam: 16352, vendor: TARGATE}
  - {name: TEST-4M, density: 0x5E, type: 0x88, capacity: 4MB, suffix: U8, worm_type: 0x8C, worm_suffix: UY, partitions: 4,
     length: 960, width: 127, wraps: 208, mam: 16352, vendor: TARGATE}
drive:
  name: ` + TestDrive + `
  base: ibm-ult3580-td8
  description: IBM Ultrium 8 with blocks of any length
  max_block: 16777215
  early_warning: 1MB
  supports:
    - {media: TEST-80M, write: true, worm: true}
    - {media: TEST-360M, write: true}
    - {media: TEST-4M, write: true, worm: true}
    - {media: LTO-8, write: true, worm: true}
    - {media: LTO-7}
    - {media: LTO-Cleaning}
`

// WriteTapeModels writes the models into dir/models, for the key personalities.
func WriteTapeModels(dir string) error {
	dir = filepath.Join(dir, "models")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "test.yaml"), []byte(tapeModels), 0o644)
}
