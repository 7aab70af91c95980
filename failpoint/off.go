//go:build !crash

package failpoint

// Hit marks a step.
func Hit(string) {}

// Rather is usual, or in the laboratory inLab: what takes hours to come about
// is to be met within a life of a second.
func Rather(usual, inLab int) int { return usual }
