// Package logtest is for tests of what is logged.
package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// Buffer keeps what loggers and processes write to it, and is read while they still
// do. Its zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is io.Writer's. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Count returns how often that contains the text.
func (b *Buffer) Count(text string) int { return strings.Count(b.String(), text) }
