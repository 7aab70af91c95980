package api

import (
	_ "embed" // the OpenAPI document
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"
)

// healthz says that the process answers.
func (a *API) healthz(c echo.Context) error {
	return a.json(c, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether messages are accepted. Modems don't matter: what is
// accepted without one waits on disk.
func (a *API) readyz(c echo.Context) error {
	select {
	case <-a.stopping:
		return unready("gatewayd is stopping.", nil)
	default:
	}
	ctx := c.Request().Context()
	if a.o.Ready != nil { // first, for it knows why a database does not answer
		if err := a.o.Ready(ctx); err != nil {
			return unready(capital(err.Error())+".", err)
		}
	}
	if _, _, err := a.o.Queue.Span(ctx); err != nil {
		return unready("The database does not answer.", err)
	}
	return a.json(c, http.StatusOK, map[string]string{"status": "ready"})
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

//go:embed openapi.yaml
var documentYAML []byte

// documentJSON is the OpenAPI document, which is kept as YAML for people.
func documentJSON() ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(documentYAML, &doc); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
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
