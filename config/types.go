package config

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// badValue says why a text is not a value of its type.
type badValue struct{ reason, hint string }

func (e badValue) Error() string { return e.reason }

// convert turns the texts of an option into its Go value, ranges checked. A
// number set to nothing gives nil: it is not set.
func (o *option) convert(raw []string) (any, error) {
	if o.kind == devices {
		return parseDevices(raw)
	}
	s := raw[len(raw)-1]
	if o.numeric() && strings.TrimSpace(s) == "" {
		return nil, nil
	}
	value, err := o.parse(s)
	if err != nil {
		return nil, err
	}
	if len(o.choices) > 0 && !slices.Contains(o.choices, s) {
		return nil, badValue{"must be " + strings.Join(o.choices, " or "), nearHint(s, o.choices)}
	}
	if o.check != nil {
		if reason, hint := o.check(s); reason != "" {
			return nil, badValue{reason, hint}
		}
	}
	return value, nil
}

func (o *option) parse(s string) (any, error) {
	switch o.kind {
	case boolean:
		return parseBool(s)
	case integer:
		n, err := parseInt(s)
		if err != nil {
			return nil, err
		}
		return int(n), o.inRange(float64(n))
	case seconds:
		n, err := parseInt(s)
		if err != nil {
			return nil, err
		}
		return secondsOf(float64(n), o)
	case duration:
		n, err := parseDuration(s)
		if err != nil {
			return nil, err
		}
		return secondsOf(n, o)
	case list:
		return parseList(s), nil
	case object:
		return parseObject(s)
	default:
		return s, nil
	}
}

func secondsOf(n float64, o *option) (any, error) {
	if math.Abs(n) > float64(math.MaxInt64/time.Second)/2 {
		return nil, badValue{"is too large for a time", ""}
	}
	return time.Duration(math.Round(n * float64(time.Second))), o.inRange(n)
}

func (o *option) inRange(n float64) error {
	if o.min != nil && n < float64(*o.min) {
		return badValue{fmt.Sprintf("must be at least %d", *o.min), ""}
	}
	if o.max != nil && n > float64(*o.max) {
		return badValue{fmt.Sprintf("must be at most %d", *o.max), ""}
	}
	return nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "on", "yes":
		return true, nil
	case "false", "0", "off", "no":
		return false, nil
	}
	return false, badValue{"must be true or false", commentHint(s)}
}

var integerText = regexp.MustCompile(`^[+-]?[0-9]+(_[0-9]+)*$`)

// parseInt reads integers as Python does: 010 is ten, 1_000 a thousand.
func parseInt(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if !integerText.MatchString(s) {
		return 0, badValue{"must be a whole number", commentHint(s)}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil {
		return 0, badValue{"is too large for a number", ""}
	}
	return n, nil
}

var floatText = regexp.MustCompile(`^[+-]?([0-9]+(_[0-9]+)*\.?([0-9]+(_[0-9]+)*)?|\.[0-9]+(_[0-9]+)*)([eE][+-]?[0-9]+(_[0-9]+)*)?$`)

// parseFloat reads numbers as Python does, but no infinities and NaNs, which
// no option here can mean.
func parseFloat(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if !floatText.MatchString(s) {
		return 0, badValue{"must be a number", commentHint(s)}
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil {
		return 0, badValue{"is too large for a number", ""}
	}
	return n, nil
}

var timeUnits = []struct {
	suffix  string
	seconds float64
}{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}

// parseDuration returns seconds from a number, with or without a unit.
func parseDuration(s string) (float64, error) {
	s = strings.TrimSpace(s)
	factor := 1.0
	for _, u := range timeUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = number, u.seconds
			break
		}
	}
	n, err := parseFloat(s)
	if err != nil {
		hint := commentHint(s)
		if hint == "" {
			hint = "write 90, 90s, 1.5h or 7d"
		}
		return 0, badValue{"must be a time in seconds, or with one of the units ms, s, m, h, d", hint}
	}
	return n * factor, nil
}

// parseList splits at commas. Commas at the end count for nothing, empty items
// in between are kept.
func parseList(s string) []string {
	s = strings.TrimRight(strings.TrimSpace(s), ",")
	if s == "" {
		return nil
	}
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// parseDict reads k:v,k:v. A key ends at the first colon.
func parseDict(s string) (map[string]string, error) {
	dict := map[string]string{}
	if strings.TrimSpace(s) == "" {
		return dict, nil
	}
	for i, item := range strings.Split(s, ",") {
		key, value, ok := strings.Cut(item, ":")
		if !ok {
			return nil, badValue{fmt.Sprintf("item %d has no colon", i+1), "write key:value,key:value"}
		}
		dict[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return dict, nil
}

func parseDevices(raw []string) ([]ReplicationDevice, error) {
	var list []ReplicationDevice
	for _, s := range raw {
		dict, err := parseDict(s)
		if err != nil {
			return nil, err
		}
		if dict["backend_id"] == "" {
			return nil, badValue{"has no backend_id", "write backend_id:NAME,conf:PATH,user:NAME,secret_uuid:UUID"}
		}
		list = append(list, ReplicationDevice{
			BackendID: dict["backend_id"], Conf: dict["conf"], User: dict["user"], SecretUUID: Secret(dict["secret_uuid"]),
		})
	}
	return list, nil
}

func parseObject(s string) (map[string]any, error) {
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil || m == nil {
		return nil, badValue{"must be a JSON object", `write {"key": "value"}`}
	}
	return m, nil
}

// commentHint recognizes the commonest reason of a bad value.
func commentHint(s string) string {
	if strings.Contains(s, " #") || strings.Contains(s, " ;") {
		return "a comment cannot follow a value, put it on a line of its own"
	}
	return ""
}
