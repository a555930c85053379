// Package testenv reaches the real services that tests run against: a one-node Ceph, PostgreSQL, NATS, and the
// program's own binaries.
//
// Each service is started at the first call that asks for it and shared by all tests of the process; what a test gets
// (a pool, a database, a NATS server) is its own and goes with it. Under make test one Ceph and one PostgreSQL serve
// all packages, handed over by VOLUMED_TEST_CEPH_CONF and VOLUMED_TEST_POSTGRES (scripts/with-cluster).
//
// Nothing outlives the test process, however it ends: the services' scripts hold on to a pipe from it, and its end ends
// them. A package that wants that to have happened before its process ends, or its goroutines checked, says so:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// A service that cannot be had fails the test with the command that installs it. No test is ever skipped for it.
package testenv
