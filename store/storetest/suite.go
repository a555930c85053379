package storetest

import (
	"errors"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
)

// Run runs the suite on an engine. newURL returns the URL of an empty database,
// which is removed with the test. The TestMain of the package calls Main.
func Run(t *testing.T, newURL func(t testing.TB) string) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, url string)
	}{
		{"round_trip", testRoundTrip},
		{"services", testServices},
		{"same_request", testSameRequest},
		{"same_request_at_once", testSameRequestAtOnce},
		{"operation_on", testOperationOn},
		{"compare_and_set", testCompareAndSet},
		{"labels", testLabels},
		{"deleted_rows", testDeletedRows},
		{"update_operation", testUpdateOperation},
		{"claims", testClaims},
		{"claims_meet", testClaimsMeet},
		{"fencing", testFencing},
		{"claim_unfinished", testClaimUnfinished},
		{"paging", testPaging},
		{"bad_pages", testBadPages},
		{"filters", testFilters},
		{"hostile_text", testHostileText},
		{"allocated", testAllocated},
		{"events", testEvents},
		{"events_in_commit_order", testEventsInCommitOrder},
		{"prune", testPrune},
		{"audits", testAudits},
		{"audit_pages", testAuditPages},
		{"plans", testPlans},
		{"prune_audits", testPruneAudits},
		{"holdings", testHoldings},
		{"image_cache", testCache},
		{"types", testTypes},
		{"types_in_use", testTypesInUse},
		{"no_lost_update", testNoLostUpdate},
		{"failing_changes", testFailingChanges},
		{"cancelled", testCancelled},
		{"closed", testClosed},
		{"killed", testKilled},
		{"migrate_at_once", testMigrateAtOnce},
		{"older_schema", testOlderSchema},
		{"newer_schema", testNewerSchema},
		{"cut_off_migration", testCutOffMigration},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newURL(t)) })
	}
}

// write is DB.Write of a change that must succeed.
func write(t testing.TB, db *store.DB, fence operation.Fence, change func(operation.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fence, change); err != nil {
		t.Fatal(err)
	}
}

// wantKind fails the test unless err is of the kind.
func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Errorf("error = %v (%s), want one of kind %s", err, fault.KindOf(err), kind)
	}
}

// writeKind is a write that must fail with the kind, and change nothing.
func writeKind(t testing.TB, db *store.DB, fence operation.Fence, kind fault.Kind, change func(operation.Tx) error) {
	t.Helper()
	wantKind(t, db.Write(t.Context(), fence, change), kind)
}

// each runs n functions at once and returns their errors, joined.
func each(n int, run func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- run(i) }()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

var errRefused = errors.New("the change was refused")
