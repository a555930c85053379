package volume

import "strings"

// elsewhere begins the address of a process of another node than the row tells. It is
// Ceph's own notation, so who does not know this meaning of it fences the right client.
const elsewhere = "any:"

// Elsewhere returns the addresses, marked as those of processes of another node than the
// row's: nobody who finds that node to be his own knows by it that they have ended. Ones
// that are marked already stay as they are.
func Elsewhere(addrs []string) []string {
	var marked []string
	for _, addr := range addrs {
		marked = append(marked, elsewhere+strings.TrimPrefix(addr, elsewhere))
	}
	return marked
}

// Addrs returns the addresses in CephAddrs without marks: those of processes of the
// service's node, which are its own and of some before it, and those of processes that
// ran elsewhere, which the service was taken from.
func (s *Service) Addrs() (here, away []string) {
	for _, addr := range s.CephAddrs {
		if plain, marked := strings.CutPrefix(addr, elsewhere); marked {
			away = append(away, plain)
		} else {
			here = append(here, addr)
		}
	}
	return here, away
}
