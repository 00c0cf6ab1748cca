//go:build vm

package tape

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/targate/targate/test/vm"
)

// chVerb makes the agent's binary a client of the driver ch: no package of Debian is one.
const chVerb = "ch"

// Requests of linux/chio.h.
const (
	chioMove    = 0x40146301 // _IOW('c', 1, 5 ints)
	chioExch    = 0x401c6302
	chioPos     = 0x400c6303
	chioPicker  = 0x80046304
	chioParams  = 0x80146306
	chioStatus  = 0x40106308
	chioElement = 0x406c6310
	chioInit    = 0x00006311
)

// Element types of linux/chio.h.
const chPicker, chSlot, chMail, chDrive = 0, 1, 2, 3

// chMain is the program: "NODE params", "NODE init", "NODE status TYPE COUNT", "NODE move TYPE N
// TYPE N", "NODE exchange TYPE N TYPE N TYPE N", "NODE position TYPE N".
func chMain(args []string) int {
	f, err := os.OpenFile(args[0], os.O_RDONLY, 0)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var n []int32
	for _, a := range args[2:] {
		v, err := strconv.Atoi(a)
		if err != nil {
			fmt.Println(err)
			return 2
		}
		n = append(n, int32(v))
	}
	ioctl := func(request uintptr, p unsafe.Pointer) error {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(p)); e != 0 {
			return e
		}
		return nil
	}
	ints := func(want ...int32) unsafe.Pointer { return unsafe.Pointer(&want[0]) }
	switch args[1] {
	case "params":
		p := make([]int32, 5)
		err = ioctl(chioParams, unsafe.Pointer(&p[0]))
		fmt.Println("pickers", p[1], "slots", p[2], "mailslots", p[3], "drives", p[4])
	case "init":
		err = ioctl(chioInit, nil)
	case "status":
		data := make([]byte, n[1])
		s := struct {
			kind int32
			_    int32
			data unsafe.Pointer
		}{n[0], 0, unsafe.Pointer(&data[0])}
		err = ioctl(chioStatus, unsafe.Pointer(&s))
		for i, b := range data {
			fmt.Printf("%d:%02x ", i, b)
		}
		fmt.Println()
	case "element":
		e := make([]byte, 108)
		binary.LittleEndian.PutUint32(e, uint32(n[0]))
		binary.LittleEndian.PutUint32(e[4:], uint32(n[1]))
		err = ioctl(chioElement, unsafe.Pointer(&e[0]))
		fmt.Printf("status %02x source %d/%d tag %q\n", e[8], binary.LittleEndian.Uint32(e[16:]), binary.LittleEndian.Uint32(e[20:]),
			strings.TrimRight(string(e[32:68]), "\x00 "))
	case "move":
		err = ioctl(chioMove, ints(n[0], n[1], n[2], n[3], 0))
	case "exchange":
		err = ioctl(chioExch, ints(n[0], n[1], n[2], n[3], n[4], n[5], 0))
	case "position":
		err = ioctl(chioPos, ints(n[0], n[1], 0))
	default:
		err = fmt.Errorf("what is %s?", args[1])
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func (l *library) ch(format string, args ...any) string {
	l.t.Helper()
	return vm.Sh(l.t, "/host/agent "+chVerb+" "+l.sch+" "+fmt.Sprintf(format, args...))
}

// TestCH drives the changer through the kernel's driver.
func TestCH(t *testing.T) {
	l := open(t, "")
	contains(t, l.ch("params"), fmt.Sprintf("pickers 1 slots %d mailslots %d drives 2", slots, mailslots))
	l.ch("init")
	full := func(kind, count int) []int {
		t.Helper()
		var all []int
		for i, f := range strings.Fields(l.ch("status %d %d", kind, count)) {
			if _, hex, _ := strings.Cut(f, ":"); len(hex) == 2 && hex[1]&1 == 1 {
				all = append(all, i)
			}
		}
		return all
	}
	var want []int
	for i := range empty - 1 {
		want = append(want, i)
	}
	if got := full(chSlot, slots); !slices.Equal(got, want) {
		t.Errorf("full slots %v, want %v", got, want)
	}
	l.ch("move %d %d %d %d", chSlot, 0, chDrive, 0)
	if got := full(chDrive, 2); !slices.Equal(got, []int{0}) {
		t.Errorf("full drives %v", got)
	}
	contains(t, l.ch("element %d 0", chDrive), "TG0001V8")
	vm.Sh(t, "mt -f "+l.tapes[0]+" offline")
	if !*peer {
		l.ch("position %d %d", chSlot, 3)
		// Out of the drive into an empty slot, and the cartridge of slot 2 into the drive.
		l.ch("exchange %d %d %d %d %d %d", chSlot, 1, chDrive, 0, chSlot, empty-1)
		contains(t, l.ch("element %d 0", chDrive), "TG0002V8")
		contains(t, l.ch("element %d %d", chSlot, empty-1), "TG0001V8")
		vm.Sh(t, "mt -f "+l.tapes[0]+" offline")
		l.ch("move %d 0 %d 1", chDrive, chSlot)
		l.ch("move %d %d %d 0", chSlot, empty-1, chSlot)
	} else {
		l.ch("move %d 0 %d 0", chDrive, chSlot)
	}
	if got := full(chSlot, slots); !slices.Equal(got, want) {
		t.Errorf("at the end the full slots are %v, want %v", got, want)
	}
	if out, ok := vm.Try(t, fmt.Sprintf("/host/agent %s %s move %d %d %d 0", chVerb, l.sch, chSlot, slots-1, chDrive)); ok {
		t.Errorf("an empty slot moved: %s", out)
	}
}
