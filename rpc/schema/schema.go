// Package schema holds the JSON Schemas of the bodies of all methods. They are
// generated from the Go types by the package's tests (go generate), which fail
// when a file is stale.
package schema

import (
	"embed"
)

//go:generate go test . -run TestFresh -update

//go:embed *.json
var files embed.FS

// Request returns the schema of the request body of a method, "" if there is none.
func Request(method string) string { return read(method + ".request.json") }

// Reply returns the schema of the reply body of a method, "" if there is none.
func Reply(method string) string { return read(method + ".reply.json") }

// Error returns the schema of the body of every error.
func Error() string { return read("error.json") }

func read(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(data)
}
