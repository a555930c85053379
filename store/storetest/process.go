package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

// Environment of a test binary that is to be a writer.
const (
	childURL  = "VOLUMED_STORETEST_URL"
	childHost = "VOLUMED_STORETEST_HOST"
)

// Main makes this process the writer that the suite started, if it is one, and
// does not return then. A TestMain calls it first.
func Main() {
	url := os.Getenv(childURL)
	if url == "" {
		return
	}
	err := acceptForEver(url, os.Getenv(childHost))
	fmt.Fprintln(os.Stderr, "writer:", err)
	os.Exit(1)
}

// acceptForEver accepts one operation after the other, and prints the id of each
// that the database has acknowledged.
func acceptForEver(url, host string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return err
	}
	s, _, err := db.TakeOver(ctx, NewService(host))
	if err != nil {
		return err
	}
	fence := operation.Fence{Host: host, Epoch: s.Epoch}
	for {
		op := NewOperation(fence)
		v := NewVolume(op.Resource.ID, host)
		if err := db.Write(ctx, fence, func(tx operation.Tx) error { return Accept(tx, &op, &v) }); err != nil {
			return err
		}
		if _, err := fmt.Println(op.ID); err != nil {
			return err
		}
	}
}

// What two processes were told is written is there after they are killed, whole,
// and the next process can go on.
func testKilled(t *testing.T, url string) {
	db := Open(t, url)
	const hosts, enough = 2, 100
	acknowledged := make([][]string, hosts)
	err := each(hosts, func(i int) (err error) {
		acknowledged[i], err = killWriter(url, fmt.Sprintf("node%d@rbd0", i), enough)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, ids := range acknowledged {
		for _, id := range ids {
			op, err := db.Operation(t.Context(), id)
			if err != nil {
				t.Fatalf("acknowledged, then lost: %v", err)
			}
			if _, err := db.Volume(t.Context(), op.Resource.ID); err != nil {
				t.Fatalf("half of it is lost: %v", err)
			}
		}
		fence := TakeOver(t, db, fmt.Sprintf("node%d@rbd0", i))
		claimed, err := db.Claim(t.Context(), fence)
		if err != nil || len(claimed) < len(ids) {
			t.Errorf("claimed %d of %d, %v", len(claimed), len(ids), err)
		}
		for _, op := range claimed {
			events, _, err := db.Events(t.Context(), volume.EventFilter{OperationID: op.ID, Type: volume.VolumeResource})
			if err != nil || len(events) != 1 {
				t.Fatalf("operation %s has %d events, %v", op.ID, len(events), err)
			}
		}
	}
}

// killWriter starts a writer, kills it once it has printed enough, and returns
// all that it printed.
func killWriter(url, host string, enough int) (ids []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childURL+"="+url, childHost+"="+host)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if ids = append(ids, lines.Text()); len(ids) == enough {
			if err := cmd.Process.Kill(); err != nil {
				return nil, err
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		return nil, fmt.Errorf("the writer ended by itself: %w", err)
	}
	const uuid = 36
	if n := len(ids); len(ids[n-1]) < uuid { // the kill may have cut the last line
		ids = ids[:n-1]
	}
	return ids, nil
}

func testCancelled(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := db.Write(ctx, fence, func(operation.Tx) error {
		t.Error("the change ran")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if err := db.Heartbeat(ctx, fence, volume.Ready, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("heartbeat: %v", err)
	}
	if _, _, err := db.Volumes(ctx, volume.VolumeFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}

	// Cancelled while it runs: the outcome is either known or said not to be.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	op := NewOperation(fence)
	err = db.Write(ctx, fence, func(tx operation.Tx) error {
		cancel()
		return tx.InsertOperation(&op)
	})
	_, found := db.Operation(t.Context(), op.ID)
	switch {
	case err == nil && found != nil:
		t.Errorf("acknowledged, but: %v", found)
	case errors.Is(err, context.Canceled) && fault.KindOf(err) == fault.Cancelled && found == nil:
		t.Error("said to be cancelled, but written")
	}
	write(t, db, fence, func(operation.Tx) error { return nil })
}

func testClosed(t *testing.T, url string) {
	if err := store.Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fence := TakeOver(t, db, "node@rbd0")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	writeKind(t, db, fence, fault.Unavailable, func(operation.Tx) error { return nil })
	_, err = db.Volume(t.Context(), "v")
	wantKind(t, err, fault.Unavailable)
	wantKind(t, db.Ping(t.Context()), fault.Unavailable)
}
