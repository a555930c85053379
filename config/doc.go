// Package config reads the service's configuration: the dialect of cinder.conf,
// with its section and option names.
//
// A load has four steps, each in a file of its own:
//
//	Read    the files and the environment, byte for byte      source.go
//	scan    file:line of every assignment; the grammar        scan.go, quirk.go
//	values  gopkg.in/ini.v1 gives the values                  values.go
//	Parse   option table: $names, types, ranges, defaults     resolve.go, parse.go
//
// There are two readers because neither is enough. The scanner knows the exact
// grammar and the line numbers; it refuses, with the cure, the few lines that
// ini.v1 would read differently. So a file that loads means the same to both,
// and to the service that the file came from.
//
// The option tables (options_*.go) are the only place that knows an option: its
// type, default, range, unit and meaning. Parsing, the sample file and
// docs/config.md all come from there.
//
// Whatever is wrong is reported at once, as one Problem each. Anything wrong in
// the grammar or in the options of the whole service fails the load; anything
// wrong in one backend's section fails that backend only. Values of secret
// options and passwords inside URLs appear in no message; Secret hides the
// values themselves from formatting.
package config

//go:generate go test -run TestGenerated -update .
