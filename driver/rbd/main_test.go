package rbd

import (
	"testing"

	"github.com/volumed/volumed/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
