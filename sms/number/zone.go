package number

import (
	"time"
	_ "time/tzdata" // of a machine that has none

	"github.com/nyaruka/phonenumbers"
)

// Zones are the time zones that a normalised number may be in: several, where its
// country has several and the number does not tell. None: it is not known.
func Zones(normalised string) (all []*time.Location) {
	if KindOf(normalised) != International {
		return nil
	}
	names, err := phonenumbers.GetTimezonesForPrefix(normalised)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if name == phonenumbers.UNKNOWN_TIMEZONE {
			continue
		}
		if zone, err := time.LoadLocation(name); err == nil {
			all = append(all, zone)
		}
	}
	return all
}

// Covers tells whether an entry of a list of destinations means a number.
func (d Destination) Covers(t *Target) bool { return d.covers(t) }
