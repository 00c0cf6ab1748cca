// Package pr is reservations: RESERVE and RELEASE of SPC-2, and the persistent
// reservations of SPC (SPC-6, 5.14), as a core.Service of a logical unit.
//
//	Execute --> decide, a function from one Table to the next --> Store.Update
//	                                                               |  durable
//	Gate <-- one atomic load <-- publish <-- raise <-- Apply <-----+
//	                                                   Abort <-----+  (and waited for)
//
// A Table is a value: all that the commands change, and nothing that is only of this
// process. Whoever decides knows no nexus that lives now, no task and no lock: a
// registrant is an initiator port and a target port, so it outlives its sessions and,
// with APTPL, this process. A Store holds the Table of one logical unit and lets one
// decision at a time be made; several gateways that serve the same unit share one, and
// each carries out the Changes that any of them decided.
//
// Unit attentions are raised before the gate changes. So a command that passes a gate
// which opened for its nexus because a reservation was taken away finds the unit
// attention first (core.Unit looks for those after the gates).
//
// Lock order: the store's lock, Unit.mu, Path.mu. The store's lock is held while the
// Table is made durable, since no two changes may be saved in another order than they
// are published. No lock is held while tasks end.
package pr
