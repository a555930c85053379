package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/volumed/volumed/internal/logs"
)

// A check looks at the text of one value and says what is wrong with it, and
// what to write instead. It never quotes the value: that may be a secret.

// drivers are the accepted values of volume_driver and the names they mean.
var drivers = map[string]string{
	"cinder.volume.drivers.rbd.RBDDriver": DriverRBD,
	"rbd":                                 DriverRBD,
	"mem":                                 DriverMem,
}

func checkDriver(s string) (string, string) {
	if _, ok := drivers[s]; ok {
		return "", ""
	}
	hint := nearHint(s, []string{"cinder.volume.drivers.rbd.RBDDriver", "rbd", "mem"})
	if hint == "" {
		hint = "write cinder.volume.drivers.rbd.RBDDriver"
	}
	return "is no driver of this service", hint
}

// checkHost guards the parts of host@backend#pool, and the lock file named so.
func checkHost(s string) (string, string) {
	if s == "" {
		return "must not be empty", "delete the line to use the default"
	}
	return checkIdentity(s)
}

func checkCluster(s string) (string, string) { return checkIdentity(strings.TrimSpace(s)) }

func checkIdentity(s string) (string, string) {
	if i := strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune("@#/*>", r) || unicode.IsSpace(r) }); i >= 0 {
		return fmt.Sprintf("must not contain %q", s[i]), "@ # / * > and blanks have a meaning in service names"
	}
	return "", ""
}

func checkNotEmpty(s string) (string, string) {
	if s == "" {
		return "must not be empty", "delete the line to use the default"
	}
	return "", ""
}

func checkPool(s string) (string, string) {
	if strings.Contains(s, "/") {
		return "must be the name of a pool alone", "leave out the / and what belongs to it"
	}
	return checkNotEmpty(s)
}

func checkAbsolute(s string) (string, string) {
	if !filepath.IsAbs(s) {
		return "must be an absolute path", "start it with /"
	}
	return "", ""
}

func checkDirectories(s string) (string, string) {
	for _, dir := range parseList(s) {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
			return "must be a list of absolute paths, without .. and / at the end", "write them like /srv/images, /mnt/images"
		}
	}
	return "", ""
}

func checkNetworks(s string) (string, string) {
	for _, item := range parseList(s) {
		if _, err := ParseNetwork(item); err != nil {
			return "must be a list of addresses and networks", "write them like 192.0.2.7, 10.1.0.0/16, fd00::/8"
		}
	}
	return "", ""
}

// ParseNetwork reads an entry of image_url_allow: a network, or an address, which is a
// network of one.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	network, err := netip.ParsePrefix(s)
	return network.Masked(), err
}

// checkSocket keeps to what fits into a socket address.
func checkSocket(s string) (string, string) {
	const longest = 107
	if len(s) > longest {
		return fmt.Sprintf("is %d bytes long, a socket's path can have %d", len(s), longest), "choose a shorter path"
	}
	return checkAbsolute(s)
}

func checkTemplate(s string) (string, string) {
	if strings.Count(s, "%") != 1 || !strings.Contains(s, "%s") {
		return "must contain %s once and no other %", "write it like volume-%s"
	}
	return "", ""
}

func checkListen(s string) (string, string) {
	if s == "" {
		return "", ""
	}
	_, port, err := net.SplitHostPort(s)
	if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n > 65535 {
		return "must be host:port", "write it like 127.0.0.1:4222"
	}
	return "", ""
}

func checkLevels(s string) (string, string) {
	for _, item := range parseList(s) {
		name, level, ok := strings.Cut(item, "=")
		if !ok || name == "" || level == "" {
			return "must be a list of name=LEVEL", "write it like rbd=DEBUG, store=WARN"
		}
		if _, err := logs.ParseLevel(level); err != nil {
			return "has a level that there is not", "levels are TRACE, DEBUG, INFO, WARN, ERROR and OFF"
		}
	}
	return "", ""
}

func checkRatio(s string) (string, string) {
	if s == "auto" {
		return "", ""
	}
	if n, err := parseFloat(s); err != nil || n < 1 {
		return "must be a number of at least 1, or auto", commentHint(s)
	}
	return "", ""
}

func checkPowerOfTwo(s string) (string, string) {
	if n, err := parseInt(s); err == nil && n&(n-1) != 0 {
		return "must be a power of two", "write 1, 2, 4, 8, 16 or 32"
	}
	return "", ""
}

// checkNATS looks at every URL of the list. net/url's errors quote the URL.
func checkNATS(s string) (string, string) {
	for _, item := range parseList(s) {
		u, err := url.Parse(item)
		if err != nil || u.Host == "" {
			return "is not a NATS URL", "write nats://HOST:PORT; other characters than letters and digits in a password as %XX"
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return "is not a NATS URL", "start it with nats://, tls://, ws:// or wss://"
		}
	}
	return "", ""
}

func checkConnection(s string) (string, string) {
	_, reason, hint := parseConnection(s)
	return reason, hint
}

// parseConnection brings the URLs of SQLAlchemy into the two forms that this
// service has: sqlite:////path and postgresql://….
func parseConnection(s string) (connection, reason, hint string) {
	const cure = "use postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:////ABSOLUTE/PATH"
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", "is not a database URL", cure
	}
	dialect, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch dialect {
	case "sqlite":
		path, local := strings.CutPrefix(rest, "/")
		if !local || !filepath.IsAbs(path) {
			return "", "needs the absolute path of a file", "write sqlite:////ABSOLUTE/PATH with four slashes"
		}
		return "sqlite:///" + path, "", ""
	case "postgresql", "postgres":
		connection = "postgresql://" + rest
		if _, err := url.Parse(connection); err != nil {
			return "", "is not a URL", "write characters of the password other than letters and digits as %XX"
		}
		return connection, "", ""
	case "mysql", "mariadb":
		return "", "MySQL and MariaDB are not supported", cure
	}
	return "", "is a database of an unknown kind", cure
}
