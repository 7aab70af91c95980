//go:build race

package soak

// Under the race detector all costs five times as much.
const usualDays, usualRate = 10, 40
