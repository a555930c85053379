package volume

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/fault"
)

// Rates are the limits that a type can set. Each can also be given per GiB of the
// volume, with a least value, and with _max: the most that the value per GiB may come to
// or, without such a value, the limit of a burst.
var rates = []string{
	"total_iops_sec", "read_iops_sec", "write_iops_sec",
	"total_bytes_sec", "read_bytes_sec", "write_bytes_sec",
}

const (
	perGB    = "_per_gb"
	perGBMin = "_per_gb_min"
	burst    = "_max"
)

// Rates returns the names of the limits that a type can set, without their suffixes.
func Rates() []string { return slices.Clone(rates) }

// BurstOf returns the name of the limit for bursts of the rate.
func BurstOf(rate string) string { return rate + burst }

// maxRate is the largest value of a limit: what librbd's options can hold.
const maxRate = 1<<63 - 1

// checkQoS refuses, with the kind Invalid, specs that limits would not understand.
func checkQoS(specs map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(specs)) {
		rate := key
		for _, suffix := range []string{perGBMin, perGB, burst} {
			rate = strings.TrimSuffix(rate, suffix)
		}
		if !slices.Contains(rates, rate) || !slices.Contains([]string{rate, rate + perGB, rate + perGBMin, rate + burst}, key) {
			return fault.New(fault.Invalid, "there is no QoS spec %q", key).WithField("qos_specs").
				WithHint("there are %s, each also with %s, %s and %s", strings.Join(rates, ", "), perGB, perGBMin, burst)
		}
		if n, err := strconv.ParseInt(specs[key], 10, 64); err != nil || n < 0 {
			return fault.New(fault.Invalid, "the QoS spec %s is %q; it must be a whole number, 0 for no limit", key, specs[key]).
				WithField("qos_specs")
		}
	}
	for _, rate := range rates {
		if err := checkRate(specs, rate); err != nil {
			return err
		}
	}
	return nil
}

// checkRate refuses values of one rate that contradict each other.
func checkRate(specs map[string]string, rate string) error {
	_, fixed := specs[rate]
	_, grows := specs[rate+perGB]
	_, least := specs[rate+perGBMin]
	_, most := specs[rate+burst]
	switch {
	case fixed && grows:
		return fault.New(fault.Invalid, "%s is given both as it is and per GiB", rate).WithField("qos_specs")
	case least && !grows:
		return fault.New(fault.Invalid, "%s without %s", rate+perGBMin, rate+perGB).WithField("qos_specs")
	case most && !fixed && !grows:
		return fault.New(fault.Invalid, "%s without %s: a burst is above a limit", rate+burst, rate).WithField("qos_specs")
	}
	if over := number(specs, rate+burst); fixed && over > 0 && over < number(specs, rate) {
		return fault.New(fault.Invalid, "%s %d is below %s %d", rate+burst, over, rate, number(specs, rate)).WithField("qos_specs")
	}
	return nil
}

// limits returns the limits of a volume of size GiB; what is not limited is left out.
func limits(specs map[string]string, size int64) map[string]int64 {
	found := map[string]int64{}
	set := func(name string, value int64) {
		if value > 0 {
			found[name] = value
		}
	}
	for _, rate := range rates {
		most := number(specs, rate+burst)
		if _, grows := specs[rate+perGB]; !grows {
			set(rate, number(specs, rate))
			set(rate+burst, most)
			continue
		}
		value := max(times(number(specs, rate+perGB), size), number(specs, rate+perGBMin))
		if most > 0 {
			value = min(value, most)
		}
		set(rate, value)
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// number returns the value of a spec that has been checked, 0 if it is not there.
func number(specs map[string]string, key string) int64 {
	n, _ := strconv.ParseInt(specs[key], 10, 64)
	return n
}

// times multiplies without running over.
func times(a, b int64) int64 {
	if b > 0 && a > maxRate/b {
		return maxRate
	}
	return a * b
}
