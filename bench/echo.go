package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/labstack/echo/v4"
)

// taken is what the bare handler's answers say of a message.
type taken struct {
	ID        string    `json:"id"`
	Direction string    `json:"direction"`
	Status    string    `json:"status"`
	To        string    `json:"to"`
	Text      string    `json:"text"`
	Encoding  string    `json:"encoding"`
	Parts     int       `json:"parts"`
	CreatedAt time.Time `json:"created_at"`
}

// order is a request whose rows are to be written; done gets the outcome.
type order struct {
	messages []taken
	done     chan error
}

// serveEcho is the process of the bare handler: JSON in, rows, JSON out. It
// checks no key, no number and no text. It tells its address, and ends with its
// input.
func serveEcho(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("-echo: say where the database goes")
	}
	r, err := openRows(ctx, args[0])
	if err != nil {
		return err
	}
	defer r.db.Close()
	orders := make(chan *order, 1024)
	go r.group(ctx, orders)
	accept := func(messages []taken) error {
		o := &order{messages, make(chan error, 1)}
		orders <- o
		return <-o.done
	}
	e := echo.New()
	e.POST("/v1/messages", func(c echo.Context) error {
		var m taken
		if err := c.Bind(&m); err != nil {
			return err
		}
		one := []taken{m}
		if err := accept(one); err != nil {
			return err
		}
		return c.JSON(http.StatusAccepted, one[0])
	})
	e.POST("/v1/messages/batch", func(c echo.Context) error {
		var b struct {
			Messages []taken `json:"messages"`
		}
		if err := c.Bind(&b); err != nil {
			return err
		}
		if err := accept(b.Messages); err != nil {
			return err
		}
		return c.JSON(http.StatusAccepted, b)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// group commits what waits together.
func (r *rows) group(ctx context.Context, orders <-chan *order) {
	for first := range orders {
		all := []*order{first}
	waiting:
		for {
			select {
			case o := <-orders:
				all = append(all, o)
			default:
				break waiting
			}
		}
		err := r.commit(ctx, all)
		for _, o := range all {
			o.done <- err
		}
	}
}

func (r *rows) commit(ctx context.Context, all []*order) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, o := range all {
		for i := range o.messages {
			m := &o.messages[i]
			if m.ID, err = r.insert(ctx, tx, m.To, m.Text); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			m.Direction, m.Status, m.Encoding, m.Parts, m.CreatedAt = "outbound", "queued", "gsm7", 1, time.Now().UTC()
		}
	}
	return tx.Commit()
}

// startEcho starts the bare handler and returns it with how to end it.
func startEcho(ctx context.Context, dir string) (*process, func() error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, "-echo", dir)}
	p.cmd.Stderr = &p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		in.Close()
		err := p.cmd.Wait()
		return errors.Join(err, os.RemoveAll(dir))
	}
	if _, err := fmt.Fscanln(out, &p.address); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the bare handler did not start: %w: %s", err, p.log.String()), stop())
	}
	return p, stop, nil
}
