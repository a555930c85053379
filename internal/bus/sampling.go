//go:build !race

package bus

import _ "unsafe" // for go:linkname

// From the moment it is linked, in every role of volumed, the server reads the
// CPU time of its process once a second, for a monitoring page that nobody here
// serves. That was most of what an idle service used. It stops for good when the
// file cannot be read, and it looks at the name anew each time; the first time
// is a second after this. (Two goroutines, one variable, no lock: the race
// detector would be right to object, so its builds do without.)
//
//go:linkname procStatFile github.com/nats-io/nats-server/v2/server/pse.procStatFile
var procStatFile string

func init() { procStatFile = "" }
