package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSelftest(t *testing.T) {
	var out bytes.Buffer
	if err := selftest(t.Context(), &out); err != nil {
		t.Fatalf("%v; it said\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "ok "); n != 6 {
		t.Errorf("%d steps:\n%s", n, out.String())
	}
	over, stop := context.WithDeadline(t.Context(), time.Now())
	defer stop()
	if err := selftest(over, &out); err == nil {
		t.Error("without time it succeeds")
	}
}

func TestReady(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("The disk is full."))
	}))
	defer s.Close()
	if err := askWhetherReady(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := askWhetherReady(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "The disk is full.") {
		t.Error(err)
	}
	s.Close()
	if err := askWhetherReady(t.Context(), s.URL); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
