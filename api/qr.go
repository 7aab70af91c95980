package api

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// qrView is a QR code as a drawing: a unit is a module, with the four that are left
// white around it.
type qrView struct {
	Size int
	Path string
}

// viewQR draws a text for a phone's camera.
func viewQR(text string) qrView {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return qrView{} // longer than any: the text itself stands beside it
	}
	const quiet = 4
	v := qrView{Size: code.Size + 2*quiet}
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	v.Path = b.String()
	return v
}
