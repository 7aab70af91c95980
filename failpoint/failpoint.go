// Package failpoint marks the steps at which the crash laboratory (`make
// crash`) kills the daemon. Without the build tag crash a mark is nothing at
// all: an empty function that the compiler leaves out.
package failpoint

// Names are all steps, in the order in which a message meets them. A test holds
// that each is marked in the code exactly once, and the laboratory's own that
// each kills.
var Names = []string{
	// Start.
	"db.opened", "queue.before-recovery", "queue.recovered", "gateway.built",
	"modem.bring-up", "modem.before-sweep", "modem.swept", "modem.up",
	// Every commit, whoever's it is.
	"db.before-commit", "db.after-commit",
	"db.before-checkpoint", "db.checkpointed", "db.before-rest", "db.rest-copied",
	// Accepting.
	"api.before-commit", "queue.batch-accepted", "queue.batch-slice", "api.before-202", "api.replay",
	// Sending.
	"modem.before-cmgs", "modem.after-cmgs", "modem.before-write-ahead", "modem.after-write-ahead",
	"modem.prompted", "modem.before-ctrl-z", "modem.after-ctrl-z", "modem.answered",
	"modem.before-book", "modem.booked",
	"queue.before-report", "queue.settle-unconfirmed", "queue.settled",
	// Receiving.
	"modem.announced", "modem.before-store", "modem.stored", "modem.before-cmgd", "modem.after-cmgd", "modem.deleted",
	"modem.before-cnma", "modem.after-cnma",
	// Telling.
	"webhook.before-copy", "webhook.before-cursor", "webhook.copied",
	"webhook.before-post", "webhook.answered", "webhook.booked",
	// The end.
	"gateway.stopping", "gateway.stopped",
}
