// Package e2e tests the service from outside: the real binary, on real Ceph,
// with its bus and its database, by what its users have: requests, commands,
// signals. What the service claims is checked on the cluster with the cluster's
// own tools.
package e2e
