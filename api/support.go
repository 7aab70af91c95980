package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/queue"
)

// supportLimit is how long a bundle may take to be made.
const supportLimit = 2 * time.Minute

// supportBundle answers with a bundle that is whole, or with a problem.
func (a *API) supportBundle(c echo.Context) error {
	if a.o.Support == nil {
		return queue.ErrNotFound
	}
	w := c.Response()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(supportLimit + writeWait))
	ctx, cancel := context.WithTimeout(c.Request().Context(), supportLimit)
	defer cancel()
	var b bytes.Buffer
	if err := a.o.Support(ctx, &b); err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="gatewayd-support-`+a.now().UTC().Format("20060102T150405Z")+`.tar.gz"`)
	w.Header().Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, "application/gzip", b.Bytes())
}
