package virtual

import (
	"testing"
	"testing/synctest"
	"time"
)

// Timers that are due have done their work when Pass returns.
func TestPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, ran := time.Now(), false
		time.AfterFunc(time.Hour, func() { ran = true })
		Pass(time.Hour)
		if !ran || time.Since(begin) != time.Hour {
			t.Errorf("ran %t after %s", ran, time.Since(begin))
		}
	})
}

func TestPassRefusesRealTime(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it slept")
		}
	}()
	Pass(time.Nanosecond)
}
