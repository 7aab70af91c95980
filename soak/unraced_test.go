//go:build !race

package soak

const usualDays, usualRate = 30, 500
