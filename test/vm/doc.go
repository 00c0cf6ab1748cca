// Package vm runs tests against the real Linux kernel initiator. A test package calls
// Main from its TestMain; then there is one guest, a user-mode-linux kernel that boots
// in two seconds without root and without KVM, and Sh runs commands in it.
//
//	test binary                  private user, network, process and mount namespaces
//	└─ test binary again ─────────────────────────────────────────────────────┐
//	   │  10.0.2.2 (veth) ◄──── iSCSI ────► 10.0.2.15  user-mode-linux kernel  │
//	   ├─ targate serve                     └─ agent: the test binary once more│
//	   └─ linux.uml                            runs what Sh sends              │
//	                                                                           │
//	everything in it ends with it ────────────────────────────────────────────┘
//
// The directory Share of the host is /host in the guest. Nothing of the guest survives.
package vm
