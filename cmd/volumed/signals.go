package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// catch takes the signals that are for operators: a process that is not prepared for
// them yet, or not any more, is not to die of them.
func catch() <-chan os.Signal {
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGUSR2)
	return asked
}

// hear has the log file opened anew on SIGUSR1, and a report made on SIGUSR2, until
// stop is called. While a report is being made the log can be reopened; further
// wishes for a report are one.
func (a *app) hear(report func(trigger string)) (stop func()) {
	ended := make(chan struct{})
	wanted := make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Go(func() {
		defer close(wanted)
		for {
			select {
			case sig := <-a.signals:
				if sig == syscall.SIGUSR1 {
					a.logs.Reopen()
					continue
				}
				select {
				case wanted <- struct{}{}:
				default:
				}
			case <-ended:
				return
			}
		}
	})
	both.Go(func() {
		for range wanted {
			report("SIGUSR2")
		}
	})
	return func() {
		close(ended)
		both.Wait()
	}
}
