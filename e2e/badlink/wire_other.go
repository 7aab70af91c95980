//go:build !linux

package badlink

import "errors"

// wire is Linux's.
type wire struct{ far string }

func openWire(string) (*wire, error) { return nil, errors.ErrUnsupported }
func (*wire) set(Weather)            {}
func (*wire) close()                 {}
