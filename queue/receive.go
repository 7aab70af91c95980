package queue

import "gatewayd/sms"

// Receive makes a PDU durable. After nil it may be deleted from the modem's
// storage or acknowledged to the network; after an error it must not be.
// A PDU that can't be decoded is kept raw, as a message with an error.
// ErrInboundFull: stop reading for now.
func (q *Queue) Receive(in sms.Incoming) error { panic("") }

// Deleted books that the modem has confirmed the deletion of a stored PDU, so
// that the same PDU at the same index is a new one from now on.
func (q *Queue) Deleted(sim, storage string, index int) error { panic("") }
