package volume

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// CompareVersions compares two versions such as 1.9 and 1.10, number by number. What
// is missing counts as 0, what is no number as older than any.
func CompareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if c := cmp.Compare(part(x, i), part(y, i)); c != 0 {
			return c
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return -1
	}
	return n
}

// Pin is the newest version of the records that every living service can read, and
// who keeps it from being a newer one.
type Pin struct {
	Version string   `json:"version"`
	By      []string `json:"by,omitempty"` // services of that version; empty if all are
}

// PinOf returns the pin of the services that are alive. With none it is the zero Pin.
func PinOf(services []ServiceState, alive func(ServiceState) bool) Pin {
	services = slices.DeleteFunc(slices.Clone(services), func(s ServiceState) bool { return !alive(s) })
	if len(services) == 0 {
		return Pin{}
	}
	byVersion := func(a, b ServiceState) int { return CompareVersions(a.ObjectCurrentVersion, b.ObjectCurrentVersion) }
	oldest, newest := slices.MinFunc(services, byVersion), slices.MaxFunc(services, byVersion)
	pin := Pin{Version: oldest.ObjectCurrentVersion}
	if byVersion(oldest, newest) == 0 {
		return pin
	}
	for _, s := range services {
		if byVersion(s, oldest) == 0 {
			pin.By = append(pin.By, s.Host)
		}
	}
	return pin
}
