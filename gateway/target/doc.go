// Package target holds what initiators log in to: targets, the groups and LUN maps
// that say who sees what, the portals that are announced, and the registry of live
// sessions. It speaks no protocol; doors do.
//
//	Gateway -- Target (IQN) -- Group (initiator patterns, LUN map)
//	   |          |   `------- LUN map for initiators that no group names
//	   |          `-- Session = I_T nexus (core.Nexus), one per initiator port and tag
//	   `-- Portals
//
// What is configured changes as a whole by Gateway.Apply. Readers see either the old
// or the new; sessions whose LUNs do not change feel nothing.
//
// Lock order: Gateway.mu, Target.mu, Gateway.sessionMu, then the core's. Drop functions
// are called with no lock held.
package target
