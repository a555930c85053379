package volume

import (
	"slices"
	"time"

	"github.com/volumed/volumed/fault"
)

// TypeResource is the kind of a volume type, as the resource of an operation.
const TypeResource ResourceType = "volume_type"

// Type is a row of the table volume_types: what operators offer under a name.
type Type struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// ExtraSpecs say which backends fit and what they shall do: volume_backend_name,
	// multiattach, and whatever schedulers read.
	ExtraSpecs map[string]string `json:"extra_specs,omitempty"`
	// QoS are limits by Cinder's names, and Consumer who enforces them.
	QoS       map[string]string `json:"qos_specs,omitempty"`
	Consumer  Consumer          `json:"qos_consumer,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at,omitzero"`
}

// Consumer is who enforces the limits of a type.
type Consumer string

// The consumers.
const (
	FrontEnd Consumer = "front-end" // the hypervisor, told when it connects
	BackEnd  Consumer = "back-end"  // the client of the backend, by settings of the image
	BothEnds Consumer = "both"
)

// Extra specs that a service acts on.
const (
	SpecBackendName = "volume_backend_name"
	SpecMultiattach = "multiattach"
	SpecReplication = "replication_enabled"
	// specTrue is how an extra spec says yes.
	specTrue = "<is> True"
)

// Is reports whether the extra spec of that name says yes.
func (t *Type) Is(spec string) bool { return t.ExtraSpecs[spec] == specTrue }

// Check returns an error of the kind fault.Invalid, with the field, for a type that no
// service could apply.
func (t *Type) Check() error {
	for _, spec := range []string{SpecMultiattach, SpecReplication} {
		if value := t.ExtraSpecs[spec]; value != "" && !slices.Contains([]string{specTrue, "<is> False"}, value) {
			return fault.New(fault.Invalid, "the extra spec %s is %q; it must be %q or %q", spec, value, specTrue, "<is> False").
				WithField("extra_specs")
		}
	}
	if t.Is(SpecMultiattach) && t.Is(SpecReplication) {
		return fault.New(fault.Invalid, "a volume that several hosts write to cannot be mirrored: %s and %s exclude each other",
			SpecMultiattach, SpecReplication).WithField("extra_specs")
	}
	if !slices.Contains([]Consumer{"", FrontEnd, BackEnd, BothEnds}, t.Consumer) {
		return fault.New(fault.Invalid, "the consumer is %q; it must be %s, %s or %s", t.Consumer, FrontEnd, BackEnd, BothEnds).
			WithField("qos_consumer")
	}
	return checkQoS(t.QoS)
}

// Settings returns what the type wants of the image of a volume of size GiB. A nil Type
// wants nothing.
func (t *Type) Settings(size int64) Settings {
	if t == nil {
		return Settings{}
	}
	s := Settings{Multiattach: t.Is(SpecMultiattach)}
	if t.Consumer == BackEnd || t.Consumer == BothEnds {
		s.Limits = limits(t.QoS, size)
	}
	return s
}

// FrontEndLimits returns what a hypervisor is told to enforce for a volume of size GiB,
// nil for nothing.
func (t *Type) FrontEndLimits(size int64) map[string]int64 {
	if t == nil || t.Consumer != FrontEnd && t.Consumer != BothEnds {
		return nil
	}
	return limits(t.QoS, size)
}

// Settings are what a backend is to do for a volume beyond keeping its data.
type Settings struct {
	// Limits are by Cinder's names, such as total_iops_sec, in operations or bytes per
	// second; those with _max are for bursts.
	Limits map[string]int64 `json:"limits,omitempty"`
	// Multiattach tells that several hosts may write at the same time.
	Multiattach bool `json:"multiattach,omitempty"`
	// Unshare tells that they may not any more.
	Unshare bool `json:"unshare,omitempty"`
}

// IsZero reports whether nothing is wanted.
func (s Settings) IsZero() bool { return len(s.Limits) == 0 && !s.Multiattach && !s.Unshare }
