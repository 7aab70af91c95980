// Package e2e holds end-to-end tests only: they start the built binary, talk
// to it over HTTP as an app does, and watch a simulated network that lives in
// the test's own process, so that killing the daemon does not touch it.
//
//	go test -tags e2e ./e2e
package e2e
