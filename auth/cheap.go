package auth

import "flag"

// CheapPasswords has a password cost next to nothing to hash, and so to guess, for
// the rest of the process: for tests, whose time goes there otherwise. Only a
// test's binary may.
func CheapPasswords() {
	if flag.Lookup("test.v") == nil {
		panic("auth: passwords are cheap in tests only")
	}
	costs = cost{memory: 64, passes: 1}
}
