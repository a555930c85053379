// Command bench measures the service beside the floor it stands on, in one run
// on one machine: what, floor, ours, ratio, bar. It starts its own one-node Ceph,
// bus and database, and stops them again. Figures are medians; nothing here is
// a test, so a busy machine shows in the figures and fails nothing.
//
//	go run ./bench [-only REGEXP] [-runs N]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// measurement is one row or several of the table.
type measurement struct {
	name string
	run  func(context.Context, *world) error
}

var measurements = []measurement{
	{"start", measureStart},
	{"create", measureCreate},
	{"creates", measureCreates},
	{"deletes", measureDeletes},
	{"clones", measureClones},
	{"clones-slow-monitor", measureClonesSlowMonitor},
	{"large-deletes", measureLargeDeletes},
	{"twenty", measureTwenty},
	{"many", measureMany},
	{"rows", measureRows},
	{"flatten", measureFlatten},
	{"images", measureImages},
	{"calls", measureCalls},
	{"heartbeat", measureHeartbeat},
	{"kill", measureKill},
	{"reload", measureReload},
	{"restart", measureRestart},
	{"crowd", measureCrowd},
	{"bookkeeping", measureBookkeeping},
	{"memory", measureMemory},
	{"idle", measureIdle},
	{"hang", measureHang},
	{"audit", measureAudit},
}

func main() {
	only := flag.String("only", "", "measure only what matches this regular expression")
	runs := flag.Int("runs", 5, "runs of each measurement; the table shows the median")
	bin := flag.String("bin", "bin/volumed", "the volumed to measure")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if asked, err := echo(); asked {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: echo:", err)
			os.Exit(1)
		}
		return
	}
	if err := bench(ctx, *only, *bin, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, only, bin string, runs int) error {
	want, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, bin, runs)
	if err != nil {
		return err
	}
	defer w.close()
	// What was measured is shown however the run ends.
	defer func() { w.table.print(os.Stdout) }()
	for _, m := range measurements {
		if !want.MatchString(m.name) {
			continue
		}
		begin := time.Now()
		fmt.Fprintf(os.Stderr, "measuring %s …\n", m.name)
		if err := m.run(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(os.Stderr, "measuring %s took %s\n", m.name, time.Since(begin).Round(time.Second))
		w.table.tell(os.Stderr)
	}
	return nil
}
