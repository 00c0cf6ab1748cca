//go:build vm

package disk

import (
	"strings"
	"testing"

	"github.com/targate/targate/test/vm"
)

// TestCommands sends the commands of sg3_utils, a third reading of the standards, to the
// disk in memory.
func TestCommands(t *testing.T) {
	s := session()
	s.Login(t)
	d := s.Device(t, 3, "scsi_generic")
	for _, c := range []struct {
		command string // % is the device
		wants   []string
	}{
		{"sg_turs %", nil},
		{"sg_inq %", []string{"Vendor identification: TARGATE", "PQual=0", "CmdQue=1"}},
		{"sg_inq -d %", []string{"SPC-", "SBC-"}}, // version descriptors
		{"sg_vpd %", []string{"Unit serial number", "Device identification", "Block limits (SBC)",
			"Logical block provisioning (SBC)", "Block device characteristics (SBC)", "Extended inquiry data",
			"Mode page policy", "SCSI ports"}},
		{"sg_vpd -p sn %", []string{"Unit serial number: "}},
		{"sg_vpd -p di %", []string{"designator type: NAA", "designator type: T10 vendor identification",
			"designator type: SCSI name string", "Relative target port"}},
		{"sg_vpd -p ei %", []string{"HEADSUP=1", "SIMPSUP=1", "ORDSUP=1"}},
		{"sg_vpd -p mpp %", []string{"Policy: shared"}},
		{"sg_vpd -p bl %", []string{"Maximum unmap LBA count: ", "Maximum write same length: "}},
		{"sg_vpd -p bdc %", []string{"Non-rotating medium"}},
		{"sg_vpd -p lbpv %", []string{"(LBPU): 1", "(LBPWS): 1", "(LBPWS10): 1"}},
		{"sg_readcap %", []string{"Number of logical blocks=131072", "Logical block length=512 bytes"}},
		{"sg_readcap -l %", []string{"lbpme=1, lbprz=1"}},
		{"sg_luns %", []string{"Lun list length = 32"}},
		{"sg_opcodes %", []string{"Read(10)", "Write(16)", "Unmap", "Compare and write", "Report supported operation codes"}},
		{"sg_opcodes -t %", []string{"Task Management Functions supported"}},
		{"sg_opcodes -o 0x28 %", []string{"Usage data: 28"}},
		{"sg_modes -a %", []string{"Read-Write error recovery", "Caching", "Control", "Informational exceptions control"}},
		{"sg_modes -a -6 %", []string{"Caching"}},
		{"sg_logs -a %", []string{"Supported log pages"}},
		{"sg_logs -p 0x19 %", []string{"General Statistics and Performance"}},
		{"sg_requests %", nil},
		{"sg_sync %", nil},
		{"sg_senddiag -t %", nil},
		{"sg_raw % 34 00 00 00 00 00 00 00 08 00 || true", []string{"Condition Met"}},
		{"dd if=/dev/urandom of=/tmp/b bs=512 count=8 status=none && sg_dd if=/tmp/b of=% bs=512 count=8 && sg_dd if=% of=/tmp/c bs=512 count=8 && cmp /tmp/b /tmp/c", nil},
		{"sg_verify --lba=0 --count=8 %", nil},
		{"sg_verify --lba=0 --count=8 --ndo=4096 --in=/tmp/b %", nil},
		{"sg_write_same --16 --lba=100 --num=16 --in=/tmp/b --xferlen=512 % && sg_dd if=% of=/tmp/c bs=512 skip=115 count=1 && cmp -n 512 /tmp/b /tmp/c", nil},
		{"sg_write_same --16 --unmap --lba=128 --num=128 --in=/dev/zero --xferlen=512 % && sg_dd if=% of=/tmp/c bs=512 skip=128 count=128 && cmp -n 65536 /dev/zero /tmp/c", nil},
		{"sg_unmap --lba=0 --num=8 --force % && sg_dd if=% of=/tmp/c bs=512 count=8 && cmp -n 4096 /dev/zero /tmp/c", nil},
		{"sg_get_lba_status --lba=0 %", []string{"LBA: 0x"}},
		{"head -c 512 /dev/zero >/tmp/x && head -c 512 /tmp/b >>/tmp/x && sg_compare_and_write --in=/tmp/x --lba=0 --num=1 --xferlen=1024 % && sg_dd if=% of=/tmp/c bs=512 count=1 && cmp -n 512 /tmp/b /tmp/c", nil},
		{"sg_write_buffer --mode=10 --in=/tmp/b --length=64 % && sg_raw -r 64 -o /tmp/e % 3c 0a 00 00 00 00 00 00 40 00 && cmp -n 64 /tmp/e /tmp/b", nil},
		{"sg_start --start %", nil},
		{"sg_write_x --or --in=/tmp/b --lba=0 --num=8 %", nil},
		{"sg_write_x --atomic=0 --in=/tmp/b --lba=0 --num=8 %", nil},
	} {
		t.Run(strings.Fields(c.command)[0], func(t *testing.T) {
			out := vm.Sh(t, strings.ReplaceAll(c.command, "%", d)+" 2>&1")
			contains(t, out, c.wants...)
		})
	}

	t.Run("miscompare", func(t *testing.T) {
		out, ok := vm.Try(t, "sg_compare_and_write --in=/tmp/x --lba=0 --num=1 --xferlen=1024 "+d+" 2>&1")
		if ok {
			t.Error("COMPARE AND WRITE took data that does not compare")
		}
		contains(t, out, "iscompare")
	})
	t.Run("invalid opcode", func(t *testing.T) {
		out, ok := vm.Try(t, "sg_raw "+d+" d0 00 00 00 00 00 2>&1")
		if ok {
			t.Error("a vendor specific command went through")
		}
		contains(t, out, "Invalid command operation code")
	})
	t.Run("beyond the end", func(t *testing.T) {
		out, ok := vm.Try(t, "sg_raw -r 512 "+d+" 28 00 7f ff ff ff 00 00 01 00 2>&1")
		if ok {
			t.Error("a READ(10) past the end went through")
		}
		contains(t, out, "Logical block address out of range")
	})
	t.Run("reset", func(t *testing.T) {
		b := s.Disk(t, 3)
		vm.Sh(t, "sg_reset -d "+b+" && sg_reset -t "+b+" && dd if="+b+" of=/dev/null bs=4k count=1 iflag=direct status=none")
	})
}
