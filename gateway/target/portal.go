package target

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// DefaultTag is the target portal group tag of a portal that is given none.
const DefaultTag uint16 = 1

// Portal is an address where a door listens.
type Portal struct {
	// Listen is host:port. The host may be empty or a wildcard address.
	Listen string
	// Announce, when set, is the host:port told to initiators instead: the outside
	// of an address translation.
	Announce string
	// Tag is the target portal group tag (RFC 7143, 3.4.1): portals of one tag are
	// one SCSI target port of each target. 0 means DefaultTag.
	Tag uint16
	// Redirect, when it has an address, sends those who log in by the portal elsewhere, as when
	// it is taken out of service. A redirect of the target comes first.
	Redirect Redirect
}

// GroupTag is the portal's tag with the default filled in.
func (p Portal) GroupTag() uint16 {
	if p.Tag == 0 {
		return DefaultTag
	}
	return p.Tag
}

// Address is a portal as discovery tells it.
type Address struct {
	HostPort string // IPv6 in brackets
	Tag      uint16
	Listen   string // of the portal
}

// address is what to announce of p on a connection that came to local. ok is false
// when local cannot stand in for a wildcard: the portal has no address of local's
// family.
func (p Portal) address(local netip.AddrPort) (a Address, ok bool) {
	a.Tag, a.Listen = p.GroupTag(), p.Listen
	if p.Announce != "" {
		a.HostPort = p.Announce
		return a, true
	}
	host, port, err := net.SplitHostPort(p.Listen)
	if err != nil {
		return a, false
	}
	ip, err := netip.ParseAddr(host)
	wild := host == "" || err == nil && ip.IsUnspecified()
	if !wild {
		a.HostPort = p.Listen
		if port == "0" && err == nil && ip.Unmap() == local.Addr().Unmap().WithZone("") {
			port = strconv.Itoa(int(local.Port()))
			a.HostPort = net.JoinHostPort(host, port)
		}
		return a, true
	}
	// One wildcard bind of IPv6 takes IPv4 too; an IPv4 one takes only its own.
	here := local.Addr().Unmap().WithZone("")
	if !here.IsValid() || err == nil && ip.Is4() && !here.Is4() {
		return a, false
	}
	if port == "0" {
		port = strconv.Itoa(int(local.Port()))
	}
	a.HostPort = net.JoinHostPort(here.String(), port)
	return a, true
}

// RedirectAt is where those who log in by the portal that listens at an address are sent now,
// nil for nowhere.
func (g *Gateway) RedirectAt(listen string) *Redirect {
	for _, p := range g.view.Load().portals {
		if p.Listen == listen && p.Redirect.Address != "" {
			return &p.Redirect
		}
	}
	return nil
}

// Addresses are the portals as an initiator whose connection came to local should be
// told of them, without duplicates, that connection's own first.
func (g *Gateway) Addresses(local netip.AddrPort) []Address {
	var list []Address
	own := netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port()).String()
	for _, p := range g.view.Load().portals {
		a, ok := p.address(local)
		same := func(b Address) bool { return a.HostPort == b.HostPort && a.Tag == b.Tag }
		if !ok || slices.ContainsFunc(list, same) {
			continue
		}
		if a.HostPort == own {
			list = slices.Insert(list, 0, a)
		} else {
			list = append(list, a)
		}
	}
	return list
}
