package gateway

import (
	"context"
	"time"

	"gatewayd/db"
)

// Disk says what is kept of the disk of DataDir for what was accepted: how much
// must be free when something new is, and how large a file is given up when a
// write fails all the same. Zero: the disk is not watched.
type Disk struct{ Reserve, Ballast int64 }

const (
	// lookWhileFull is how often what is full is looked at.
	lookWhileFull = 2 * time.Second
	// lookWhileTight is how often the disk is looked at when there is so little
	// room that a burst of messages might use it up between two looks.
	lookWhileTight = 200 * time.Millisecond
	roomForABurst  = 8 // times what is kept
)

// raise begins or ends an alarm of the gateway's own.
func (g *Gateway) raise(on bool, code, title, detail string) {
	if on {
		g.alarms.begin(code, "", title, detail)
	} else {
		g.alarms.end(code, "")
	}
}

// ringsFull tells of rings that can take nothing more, and returns when to look
// again; zero if that is not sooner than otherwise.
func (g *Gateway) ringsFull(now time.Time) (time.Time, error) {
	out, in, err := g.queue.Full(context.Background(), g.alarms.goesOn(queueFull, ""), g.alarms.goesOn(inboundFull, ""))
	if err != nil {
		return time.Time{}, err
	}
	g.raise(out, queueFull, "The outbound queue is full",
		"New messages are refused. They are taken again by themselves as messages are sent; look at the modems if it lasts.")
	g.raise(in, inboundFull, "The queue of received messages is full",
		"Nothing more is read from the modems: SIM and network hold the rest. Look at the webhooks: they have not taken what is here.")
	if out || in {
		return now.Add(lookWhileFull), nil
	}
	return time.Time{}, nil
}

// watchDisk sees now and then how much room there is.
func (g *Gateway) watchDisk(ctx context.Context) {
	for again := time.Duration(0); sleep(ctx, again); {
		disk, err := g.lookAtDisk(ctx)
		if err != nil {
			if ctx.Err() == nil {
				g.log.Error("how much room the disk has could not be found out; tried again", "error", err)
			}
			again = lookWhileFull
			continue
		}
		g.free.Set(float64(disk.Free))
		if disk.Full != g.alarms.goesOn(diskFull, "") {
			g.log.Warn("the disk of data_dir", "full", disk.Full, "free", disk.Free, "needed", disk.Needed, "reason", disk.Why)
		}
		g.raise(disk.Full, diskFull, "The disk is full",
			"New messages are refused. What was accepted is still sent, and texts are still received, as long as there is any room. Make room on the disk of data_dir; the rest happens by itself.")
		g.raise(disk.Low, diskLow, "The disk is nearly full",
			"Make room on the disk of data_dir: before what was accepted is in danger, new messages are refused.")
		again = lookWhileFull
		if disk.Free < roomForABurst*disk.Needed {
			again = lookWhileTight
		}
	}
}

func (g *Gateway) lookAtDisk(ctx context.Context) (db.Disk, error) {
	disk, err := g.database.LookAtDisk(ctx, 0)
	if err != nil || disk.Free > roomForABurst*(disk.Needed+g.queue.MostPromised()) {
		return disk, err
	}
	return g.database.LookAtDisk(ctx, g.queue.Promised())
}
