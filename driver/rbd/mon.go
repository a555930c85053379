package rbd

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
)

// mon runs a monitor command, with arguments as pairs, and decodes its answer.
func (l *link) mon(answer any, prefix string, args ...string) error {
	command := map[string]any{"prefix": prefix, "format": "json"}
	for i := 0; i+1 < len(args); i += 2 {
		command[args[i]] = args[i+1]
	}
	out, err := l.monCommand(command)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fault.New(fault.Internal, "answer to %q: %w", prefix, err)
	}
	return nil
}

func (l *link) monCommand(command map[string]any) ([]byte, error) {
	line, err := json.Marshal(command)
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	out, _, err := l.conn.MonCommand(line)
	return out, classify(err, fmt.Sprintf("monitor command %v", command["prefix"]))
}

// monitorsFor is how long monitor addresses are used before they are read again:
// they change when a monitor is replaced, which takes longer.
const monitorsFor = 30 * time.Second

// monitors are the addresses hosts reach the monitors under, kept for a while.
type monitors struct {
	mu           sync.Mutex
	hosts, ports []string
	read         time.Time
}

// get returns the addresses, in the order of the monitor map.
func (m *monitors) get(l *link) (hosts, ports []string, err error) {
	m.mu.Lock()
	hosts, ports, read := m.hosts, m.ports, m.read
	m.mu.Unlock()
	if hosts != nil && time.Since(read) < monitorsFor {
		return hosts, ports, nil
	}
	var dump monDump
	if err := l.mon(&dump, "mon dump"); err != nil {
		return nil, nil, err
	}
	if hosts, ports, err = dump.addresses(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock() // not held while a monitor is asked: callers would wait for it one after another
	defer m.mu.Unlock()
	m.hosts, m.ports, m.read = hosts, ports, time.Now()
	return hosts, ports, nil
}

// monDump is what is needed of the answer to "mon dump".
type monDump struct {
	Mons []struct {
		Name  string `json:"name"`
		Addrs struct {
			Vector []struct{ Type, Addr string } `json:"addrvec"`
		} `json:"public_addrs"`
		Addr string `json:"addr"` // all that releases before Nautilus have
	} `json:"mons"`
}

// addresses returns host and port of every monitor, IPv6 without brackets: of
// the first version of the protocol, which is what attaching hosts write down,
// and of another only for a monitor that has no other.
func (d monDump) addresses() (hosts, ports []string, err error) {
	for _, mon := range d.Mons {
		addr := mon.Addr
		for i, a := range mon.Addrs.Vector {
			if i == 0 || a.Type == "v1" {
				addr = a.Addr
			}
		}
		addr, _, _ = strings.Cut(addr, "/")
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, nil, fault.New(fault.Internal, "monitor %s has the address %q: %w", mon.Name, addr, err)
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	return hosts, ports, nil
}
