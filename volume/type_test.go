package volume_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestTypeLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		specs map[string]string
		size  int64
		want  map[string]int64
	}{
		"none":                    {nil, 1, nil},
		"zero is no limit":        {map[string]string{"total_iops_sec": "0"}, 1, nil},
		"fixed with a burst":      {map[string]string{"total_iops_sec": "100", "total_iops_sec_max": "200"}, 9, map[string]int64{"total_iops_sec": 100, "total_iops_sec_max": 200}},
		"per GiB":                 {map[string]string{"read_bytes_sec_per_gb": "1000"}, 7, map[string]int64{"read_bytes_sec": 7000}},
		"per GiB, at least":       {map[string]string{"read_iops_sec_per_gb": "10", "read_iops_sec_per_gb_min": "50"}, 2, map[string]int64{"read_iops_sec": 50}},
		"per GiB, at most":        {map[string]string{"read_iops_sec_per_gb": "10", "read_iops_sec_max": "15"}, 2, map[string]int64{"read_iops_sec": 15}},
		"per GiB, beyond numbers": {map[string]string{"write_bytes_sec_per_gb": "9223372036854775807"}, 2, map[string]int64{"write_bytes_sec": 9223372036854775807}},
	} {
		t.Run(name, func(t *testing.T) {
			front := volume.Type{QoS: tt.specs, Consumer: volume.FrontEnd}
			back := volume.Type{QoS: tt.specs, Consumer: volume.BackEnd}
			both := volume.Type{QoS: tt.specs, Consumer: volume.BothEnds}
			if err := both.Check(); err != nil {
				t.Fatal(err)
			}
			for _, got := range []map[string]int64{
				front.FrontEndLimits(tt.size), both.FrontEndLimits(tt.size), back.Settings(tt.size).Limits, both.Settings(tt.size).Limits,
			} {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if front.Settings(tt.size).Limits != nil || back.FrontEndLimits(tt.size) != nil {
				t.Error("limits for the end that does not enforce them")
			}
		})
	}
	var none *volume.Type
	if !none.Settings(1).IsZero() || none.FrontEndLimits(1) != nil {
		t.Error("no type wants something")
	}
}

func TestTypeCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		of   volume.Type
		want string // in the error
	}{
		"unknown key":        {volume.Type{QoS: map[string]string{"total_iops": "1"}}, `"total_iops"`},
		"two suffixes":       {volume.Type{QoS: map[string]string{"total_iops_sec_max_per_gb": "1"}}, "total_iops_sec_max_per_gb"},
		"no number":          {volume.Type{QoS: map[string]string{"total_iops_sec": "many"}}, `"many"`},
		"negative":           {volume.Type{QoS: map[string]string{"total_iops_sec": "-1"}}, `"-1"`},
		"both ways":          {volume.Type{QoS: map[string]string{"total_iops_sec": "1", "total_iops_sec_per_gb": "1"}}, "both"},
		"least of nothing":   {volume.Type{QoS: map[string]string{"total_iops_sec_per_gb_min": "1"}}, "without"},
		"burst of nothing":   {volume.Type{QoS: map[string]string{"total_iops_sec_max": "1"}}, "without"},
		"burst below":        {volume.Type{QoS: map[string]string{"total_iops_sec": "2", "total_iops_sec_max": "1"}}, "below"},
		"consumer":           {volume.Type{Consumer: "me"}, `"me"`},
		"half a yes":         {volume.Type{ExtraSpecs: map[string]string{"multiattach": "true"}}, "<is> True"},
		"exclude each other": {volume.Type{ExtraSpecs: map[string]string{"multiattach": "<is> True", "replication_enabled": "<is> True"}}, "exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.of.Check()
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) || fault.Of(err).Field == "" {
				t.Errorf("error = %v, field %q", err, fault.Of(err).Field)
			}
		})
	}
}
