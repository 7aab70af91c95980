package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// daemon is one life of the real binary.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it is dead
}

// plan says how a life is to end.
type plan struct {
	point string        // failpoint; "": killed from outside
	hit   int           // of the failpoint: which one kills
	wait  time.Duration // there, while everything else goes on, before it kills
	after time.Duration // when it is killed from outside, whatever else was planned
	term  time.Duration // when it is asked to end, 0: not
	with  string        // what troubles it meanwhile
}

func (p plan) String() string {
	var b strings.Builder
	if p.point != "" {
		fmt.Fprintf(&b, "%s %d %v", p.point, p.hit, p.wait)
	} else {
		fmt.Fprintf(&b, "kill -9 after %v", p.after)
	}
	if p.term > 0 {
		fmt.Fprintf(&b, ", SIGTERM after %v", p.term)
	}
	if p.with != "" {
		fmt.Fprintf(&b, ", with %s", p.with)
	}
	return b.String()
}

// start begins a life; failpoint is what GATEWAYD_FAILPOINT says.
func (w *world) start(failpoint string) (*daemon, error) {
	log, err := os.OpenFile(w.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &daemon{cmd: exec.Command(w.lab.binary, "run", "--config", w.config, "--log", "debug"), ended: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), "GATEWAYD_FAILPOINT="+failpoint)
	if w.lab.powerCut {
		d.cmd.Env = append(d.cmd.Env, "GATEWAYD_POWERCUT=1")
	}
	d.cmd.Stderr = log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is in ProcessState
		close(d.ended)
	}()
	return d, nil
}

func (d *daemon) dead() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// kill is kill -9.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// killed tells whether SIGKILL ended it, and the status it gave otherwise.
func (d *daemon) killed() (bool, int) {
	s := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return s.Signaled() && s.Signal() == syscall.SIGKILL, s.ExitStatus()
}
