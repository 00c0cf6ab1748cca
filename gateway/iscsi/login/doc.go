// Package login is the login phase of an iSCSI connection as a machine: Login
// Requests in, Login Responses out, and a Result at the end (RFC 7143, chapters
// 6 and 13). It does no I/O, reads no clock and takes no lock; who feeds it
// bounds the time that a login may take, and owns what outlives it: sessions,
// TSIHs, reinstatement.
//
//	       first request: CSG=0                      CSG=1
//	                |                                  |
//	                v                                  v
//	     SecurityNegotiation  -- T, NSG=1 -->  LoginOperationalNegotiation
//	AuthMethod, CHAP_A, CHAP_N/R |                     |
//	                | T, NSG=3                         | T, NSG=3
//	                v                                  v
//	                       FullFeaturePhase: Result
//
// Every text key has one row in the key table (keys.go): who may send it, when,
// its values, its result function, and when it is irrelevant. What the initiator
// does not offer keeps the default of the RFC, unless we cannot live with the
// default: then the machine offers the key itself before it lets the login end.
package login
