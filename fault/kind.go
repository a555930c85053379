package fault

// Kind is one of the classes of error. Its string is its wire code; wire codes
// are never given to another kind.
type Kind string

// The kinds.
const (
	Invalid     Kind = "invalid"     // the request is wrong, whatever the state
	NotFound    Kind = "not_found"   // no such row, image, snapshot
	Exists      Kind = "exists"      // it is there already
	Conflict    Kind = "conflict"    // not in this state; read again, then decide
	Busy        Kind = "busy"        // in use now; later it may be free
	Overloaded  Kind = "overloaded"  // a lane is full; send it again later
	Cancelled   Kind = "cancelled"   // the caller asked to stop
	Internal    Kind = "internal"    // unclassified: a defect of ours until shown otherwise
	Unsupported Kind = "unsupported" // this driver, cluster or version cannot do it
	Unavailable Kind = "unavailable" // a dependency does not answer; the outcome may be unknown
	Exhausted   Kind = "exhausted"   // no space or quota left
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// properties of a kind, in one table read by everyone.
type properties struct {
	status    int  // numeric code on the wire, after HTTP
	retryable bool // the same request may succeed later without anyone's doing
}

var kinds = map[Kind]properties{
	Invalid:     {400, false},
	NotFound:    {404, false},
	Exists:      {409, false},
	Conflict:    {409, false},
	Busy:        {423, true},
	Overloaded:  {429, true},
	Cancelled:   {499, false},
	Internal:    {500, false},
	Unsupported: {501, false},
	Unavailable: {503, true},
	Exhausted:   {507, false},
}

// Status returns the numeric wire code of the kind, after HTTP; 500 for a kind
// that this version does not know.
func (k Kind) Status() int {
	if p, ok := kinds[k]; ok {
		return p.status
	}
	return kinds[Internal].status
}

// Retryable reports whether the same request may succeed later by itself.
func (k Kind) Retryable() bool { return kinds[k].retryable }

// ParseKind returns the kind with the given wire code, or Internal for a code
// that this version does not know, as a newer peer may send.
func ParseKind(code string) Kind {
	if _, ok := kinds[Kind(code)]; ok {
		return Kind(code)
	}
	return Internal
}

// Kinds returns all kinds, in no order.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds))
	for k := range kinds {
		all = append(all, k)
	}
	return all
}
