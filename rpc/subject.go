package rpc

import (
	"strings"

	"github.com/volumed/volumed/volume"
)

// prefix of all subjects. It changes only when the meaning of a message breaks.
const prefix = "volumed.v1."

// Token returns s as one token of a subject. Everything that NATS gives a
// meaning, and everything but printable ASCII, is written as % and two upper-case
// hexadecimal digits: node1.example.com@rbd0 becomes node1%2Eexample%2Ecom@rbd0.
func Token(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(".*>%", c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// ServiceSubject returns the subject of a method of one service (host@backend).
func ServiceSubject(service, method string) string { return prefix + Token(service) + "." + method }

// AnySubject returns the subject of a method that any worker answers.
func AnySubject(method string) string { return prefix + "any." + method }

// EventSubject returns the subject of the events of one resource; "*" and ">"
// in either part are written as text, not as wildcards.
func EventSubject(of volume.Resource) string {
	return prefix + "event." + Token(string(of.Type)) + "." + Token(of.ID)
}

// OperationSubject returns the subject on which every change of an operation
// is published, progress included.
func OperationSubject(id string) string { return prefix + "event.operation." + Token(id) }

// StatsSubject returns the subject of a service's capabilities.
func StatsSubject(service string) string { return prefix + "stats." + Token(service) }

// ServiceOf returns the service that answers for a volume: its cluster's where
// it has one, else its host's.
func ServiceOf(v volume.Volume) string {
	if v.ClusterName != "" {
		return volume.ParseHost(v.ClusterName).Service()
	}
	return volume.ParseHost(v.Host).Service()
}
