// Package alua is asymmetric logical unit access (SPC-6, 5.16): target port groups
// with the states in which they give access to logical units, reported by REPORT TARGET
// PORT GROUPS and changed by SET TARGET PORT GROUPS or by administration.
//
// Groups are shared: the logical units whose Groups.Service is the same Groups change
// together, as the units of one pool do when a gateway fails over. A port is in the
// group that its core.TargetPort names, the one that VPD page 83h names, too.
//
// A change goes through transitioning:
//
//	old state --> transitioning --> new state
//	    ^         |  new commands: NOT READY 04h/0Ah, but those of the unavailable state
//	    |         |  commands that run: awaited
//	    +---------+  cut short, or the new state cannot be saved
//
// The new state is on stable storage before it is in effect, and in effect before SET
// TARGET PORT GROUPS ends with GOOD; then every other I_T nexus gets ASYMMETRIC ACCESS
// STATE CHANGED. So a command either has ended under the old state or was refused, and
// no write comes by a port that has left the active states.
//
// Lock order: Groups.change, Groups.mu. The first is held over a whole transition, the
// second is a leaf.
package alua
