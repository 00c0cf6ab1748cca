//go:build system

package tape

import "testing"

// families are all subjects, in the order in which they run.
var families = []struct {
	name string
	run  func(t *testing.T)
}{
	{"blocks", scripts("blocks.txt")},
	{"motion", scripts("motion.txt")},
	{"end", scripts("end.txt")},
	{"changer", scripts("changer.txt")},
	{"clients", scripts("clients.txt")},
	{"people", testPeople},
	{"SSC-4.2.23_faults", testFaults},
	{"SMC-6.10_element_status", testElementStatus},
	{"SAM-5.14_unit_attention", testAttention},
	{"7143-4.2.2_in_flight", testPipeline},
	{"SSC-4.2.2_sizes", testSizes},
	{"SPC-5.14_reservations", testReservations},
	{"SPC-7.3_log_pages", testLogPages},
	{"SPC-7.5_mode_pages", testModePages},
	{"SPC-7.7_identity", testIdentity},
	{"SPC-7.4_attributes", testAttributes},
	{"SSC-8.5_encryption", testEncryption},
	{"SSC-8.3.9_protection", testProtection},
}
