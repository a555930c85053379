package main

import (
	"os"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
)

// load returns the configuration: the one that the parent validated, if there
// is a parent that passed it on, and the files otherwise.
func (a *app) load() (config.Sources, *config.Config, error) {
	src, err := a.sources()
	if err != nil {
		return src, nil, fault.New(fault.Invalid, "%w", err)
	}
	cfg, err := config.Parse(src)
	if err != nil {
		return src, nil, fault.New(fault.Invalid, "%w", err)
	}
	return src, cfg, nil
}

func (a *app) sources() (config.Sources, error) {
	data, passed, err := a.parent.Snapshot()
	if err != nil {
		return config.Sources{}, err
	}
	if passed {
		return config.DecodeSources(data)
	}
	return config.Read(a.files, a.dirs, os.Environ())
}
