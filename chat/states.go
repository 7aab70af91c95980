package chat

import "gatewayd/queue"

// happening is what moves a conversation from one state to another.
type happening string

const (
	heard     happening = "heard"     // the phone said something, in a conversation that needs no opt-in or has one
	said      happening = "said"      // something goes to the phone that is no answer of the gateway's own
	asked     happening = "asked"     // an invitation goes out
	agreed    happening = "agreed"    // the phone said YES
	ended     happening = "ended"     // its opt-in is over: STOP, used up, too long silent
	quiet     happening = "quiet"     // nothing was said for chat.idle_after
	over      happening = "over"      // somebody closed it, or nothing was said for much longer
	reopened  happening = "reopened"  // somebody goes on with one that was closed
	blocked   happening = "blocked"   // for abuse, or with its number
	unblocked happening = "unblocked" // by an admin
)

// moves are all changes of state that there are: what happens otherwise leaves the
// state as it is.
var moves = map[State]map[happening]State{
	StateNew:     {said: StateOpen, asked: StateInvited, agreed: StateOpen, over: StateClosed, blocked: StateBlocked},
	StateInvited: {agreed: StateOpen, ended: StateIdle, over: StateClosed, blocked: StateBlocked},
	StateOpen:    {asked: StateInvited, ended: StateIdle, quiet: StateIdle, over: StateClosed, blocked: StateBlocked},
	StateIdle:    {heard: StateOpen, said: StateOpen, asked: StateInvited, agreed: StateOpen, over: StateClosed, blocked: StateBlocked},
	StateClosed:  {heard: StateNew, reopened: StateIdle},
	StateBlocked: {unblocked: StateIdle, over: StateClosed},
}

// move makes of a conversation's state what a happening makes of it, and tells whether
// that is another one.
func (e *entry) move(h happening) bool {
	next, ok := moves[e.State][h]
	if !ok || next == e.State {
		return false
	}
	e.State = next
	return true
}

// holds tells whether what is sent needs no further YES.
func holds(mode Mode, o *queue.OptIn) bool {
	return mode == Transaction || o.Holds()
}
