//go:build system

package sam

// families are all subjects, in the order in which they run.
var families = []family{
	{"SAM-8.6.1_simple", testSimple},
	{"SAM-8.6.3_ordered", testOrdered},
	{"SAM-8.6.2_head_of_queue", testHeadOfQueue},
	{"SAM-7_task_management", testTaskManagement},
	{"SAM-5.14_unit_attention", testUnitAttention},
	{"SAM-4.8_luns", testLUNs},
	{"7143-4.2.2_numbering", testNumbering},
	{"7143-11.3_residuals", testResiduals},
	{"7143-11.7_data_out", testDataOut},
	{"7143-11.2_headers", testHeaders},
	{"7143-7.7_digests", testDigests},
	{"7143-6_login", testLogin},
	{"7143-13_keys", testKeys},
	{"7143-12.1_chap", testCHAP},
	{"7143-11.10_text", testText},
	{"7143-11.14_logout", testLogout},
	{"7143-6.3.5_reinstatement", testReinstatement},
	{"7143-11.17_reject", testReject},
	{"7143-11.18_nop", testNOP},
	{"SPC-4.2_commands", testRows},
	{"SPC-4.2.5.6_allocation_length", testAllocationLength},
	{"SPC-7.5_mode_pages", testModePages},
	{"SPC-7.3_log_pages", testLogPages},
	{"SPC-7.7_vital_product_data", testVPD},
	{"SBC-4.5_capacity", testEdges},
	{"SBC-5_block_commands", testBlocks},
	{"SBC-4.7_provisioning", testProvisioning},
	{"SBC-4.13_faults", testFaults},
	{"SAM-4.8_remap_and_growth", testRemap},
}
