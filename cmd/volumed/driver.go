package main

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/mem"
)

// openDriver connects the backend's driver, with its decorators around it.
func openDriver(ctx context.Context, cfg *config.Config, b *config.Backend, log hclog.Logger) (driver.Driver, error) {
	return mem.New(mem.NewWorld()), nil
}
