// Package drivertest holds the conformance suite that every driver passes, and
// a decorator that makes any driver fail where a test wants it to.
//
// A driver's own test needs one line:
//
//	drivertest.Run(t, func(t *testing.T) driver.Driver { return mem.New(mem.NewWorld()) })
//
// A defect found in one driver becomes a case of the suite.
package drivertest
