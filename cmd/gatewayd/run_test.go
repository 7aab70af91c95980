package main

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"gatewayd/gateway"
)

// A daemon that is told to stop while it still starts has failed at nothing.
func TestStoppedWhileStarting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, gateway.Options{DataDir: t.TempDir(), Listener: l, Log: slog.New(slog.DiscardHandler)}, func(context.Context, *gateway.Gateway, *slog.Logger, func() func()) {}); err != nil {
		t.Error(err)
	}
}
