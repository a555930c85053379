package image

import (
	"net"
	"net/netip"
	"syscall"

	"github.com/volumed/volumed/fault"
)

// reserved are networks that no server of images has on the Internet, beside those
// that net/netip knows as private, loopback, link-local (with the metadata service of
// clouds) or multicast. Some would lead to a private address by way of a gateway.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// allowed reports whether a web server may have the address: a public one, or one of
// the networks of the operator.
func (g *Gate) allowed(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range g.cfg.Networks {
		if network.Contains(addr) {
			return true
		}
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, network := range reserved {
		if network.Contains(addr) {
			return false
		}
	}
	return true
}

// control is asked by the dialer about every address that it is about to connect to.
// There the name is resolved: nothing can change between the look and the use.
func (g *Gate) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	if !g.allowed(addr) {
		return fault.New(fault.Invalid, "the server has the address %s, which is not a public one", addr).
			WithField("image.url").WithHint("an operator can allow it: image_url_allow")
	}
	return nil
}
