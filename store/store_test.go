package store_test

import (
	"testing"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Main()
	testenv.Main(m)
}

func TestSQLite(t *testing.T) { storetest.Run(t, storetest.SQLite) }

func TestPostgres(t *testing.T) { storetest.Run(t, testenv.Postgres) }
