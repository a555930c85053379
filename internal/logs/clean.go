package logs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// clean returns the arguments as they may be written: without secrets, and each
// value on one line.
func (l *Log) clean(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		out[i] = l.cleanOne(arg)
	}
	return out
}

func (l *Log) cleanOne(arg any) any {
	switch v := freeze(arg).(type) {
	case string:
		return l.text(v)
	case error:
		return l.text(fmt.Sprint(v)) // which survives a nil behind the interface
	case []string:
		for i := range v {
			v[i] = l.cfg.Mask(v[i])
		}
		return v
	case time.Duration:
		return v.String() // in JSON too, where it would be a number of nanoseconds
	case time.Time:
		return v.Format(timeFormat)
	default:
		return v
	}
}

func (l *Log) text(s string) any {
	s = l.cfg.Mask(s)
	if !l.cfg.JSON && strings.ContainsAny(s, "\n\r") {
		return hclog.Quote(s)
	}
	return s
}

// freeze returns a value that stays what it is when the caller goes on: the value
// itself where that is sure, its text otherwise. Errors are: they are made once and
// not changed, and most are never printed.
func freeze(arg any) any {
	switch v := arg.(type) {
	case nil, string, bool, int, int64, time.Duration, time.Time, error:
		return arg
	case []string:
		return slices.Clone(v)
	case fmt.Stringer:
		return fmt.Sprint(v)
	}
	switch v := reflect.ValueOf(arg); {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() <= reflect.Complex128: // Bool and all numbers
		return arg
	default:
		return fmt.Sprint(arg)
	}
}
