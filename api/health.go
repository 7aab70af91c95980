package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatewayd/wire"
)

// Healthz says that the process answers.
func (a server) Healthz(context.Context, HealthzRequestObject) (HealthzResponseObject, error) {
	return Healthz200JSONResponse{HealthJSONResponse{Status: wire.HealthStatusOk}}, nil
}

// Readyz says whether messages are accepted. Modems don't matter: what is
// accepted without one waits on disk.
func (a server) Readyz(ctx context.Context, _ ReadyzRequestObject) (ReadyzResponseObject, error) {
	select {
	case <-a.stopping:
		return nil, unready("gatewayd is stopping.", nil)
	default:
	}
	if a.o.Ready != nil { // first, for it knows why a database does not answer
		if err := a.o.Ready(ctx); err != nil {
			return nil, unready(capital(err.Error())+".", err)
		}
	}
	if _, _, err := a.o.Queue.Span(ctx); err != nil {
		return nil, unready("The database does not answer.", err)
	}
	return Readyz200JSONResponse{HealthJSONResponse{Status: wire.HealthStatusReady}}, nil
}

func unready(detail string, cause error) error {
	return &problem{kind: notReady, detail: detail, retry: 5 * time.Second, cause: cause}
}

// metrics serves what the gatherer has, for Prometheus.
func (a *API) metrics(c echo.Context) error {
	g := a.o.Metrics
	if g == nil {
		g = prometheus.NewRegistry()
	}
	promhttp.HandlerFor(g, promhttp.HandlerOpts{
		// One collector that fails must not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	}).ServeHTTP(c.Response(), c.Request())
	return nil
}

// openAPI serves the OpenAPI document.
func (a *API) openAPI(c echo.Context) error {
	b, err := a.document()
	if err != nil {
		p := internal.because("The OpenAPI document can't be read.")
		p.cause = err
		return p
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, b)
}
