package rbd

import (
	"os"
	"strings"
	"testing"
)

func TestJemallocIsLinked(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(maps), "libjemalloc") {
		t.Error("librbd allocates by glibc")
	}
}
