// Package crash kills a serving targate with SIGKILL at random instants and looks, after
// each restart, for what was acknowledged: written blocks, persistent reservations, saved
// mode pages, and who the devices and ports are. Of a request that was in flight, the
// state before it or the state after it may be found, never a mixture.
package crash
