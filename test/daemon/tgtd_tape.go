package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// TgtdLibrary is a tape library of tgtd: its drives are the LUNs from 1 on, the changer is
// the LUN after them. Cartridges fill the slots from the first on.
type TgtdLibrary struct {
	Drives, Slots, Mailslots int
	Barcodes                 []string
	MiB                      int // that a cartridge holds
}

// ChangerLUN is where the changer is.
func (l *TgtdLibrary) ChangerLUN() int { return l.Drives + 1 }

// steps makes the cartridges in dir and gives the arguments of tgtadm, call by call.
func (l *TgtdLibrary) steps(dir string) ([][]string, error) {
	home := filepath.Join(dir, "tgtd-tapes")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	changer := filepath.Join(home, "changer")
	if err := os.WriteFile(changer, make([]byte, 1024), 0o600); err != nil {
		return nil, err
	}
	for _, b := range append([]string{"none"}, l.Barcodes...) {
		out, err := exec.Command("tgtimg", "--op", "new", "--device-type", "tape", "--barcode", b, "--type", "data",
			"--size", fmt.Sprint(l.MiB), "--thin-provisioning", "--file", filepath.Join(home, b)).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("tgtimg: %w: %s", err, out)
		}
	}
	unit := func(op string, lun int, more ...string) []string {
		return append([]string{"--op", op, "--mode", "logicalunit", "--tid", "1", "--lun", fmt.Sprint(lun)}, more...)
	}
	params := func(lun int, p string) []string { return unit("update", lun, "--params", p) }
	var steps [][]string
	for i := range l.Drives {
		// A drive begins with a cartridge; it is taken off line, as tgtd's own set-up does.
		steps = append(steps, unit("new", i+1, "-b", filepath.Join(home, "none"), "--device-type=tape"), params(i+1, "online=0"))
	}
	c := l.ChangerLUN()
	steps = append(steps, unit("new", c, "-b", changer, "--device-type=changer"), params(c, "media_home="+home),
		params(c, fmt.Sprintf("element_type=4,start_address=1,quantity=%d", l.Drives)))
	for i := range l.Drives {
		steps = append(steps, params(c, fmt.Sprintf("element_type=4,address=%d,tid=1,lun=%d", i+1, i+1)))
	}
	steps = append(steps, params(c, "element_type=1,start_address=16,quantity=1"),
		params(c, fmt.Sprintf("element_type=2,start_address=1024,quantity=%d", l.Slots)))
	for i, b := range l.Barcodes {
		steps = append(steps, params(c, fmt.Sprintf("element_type=2,address=%d,barcode=%s,sides=1", 1024+i, b)))
	}
	if l.Mailslots > 0 {
		steps = append(steps, params(c, fmt.Sprintf("element_type=3,start_address=512,quantity=%d", l.Mailslots)))
	}
	return steps, nil
}
