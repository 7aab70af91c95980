// Package soak runs the daemon for a month of virtual time: four simulated
// modems, everyday traffic both ways, and one trouble after the other. Its tests
// check that what clients were promised, what the network saw, what handsets
// sent and what the webhook received tell the same story.
package soak
