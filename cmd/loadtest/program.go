package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"changebank/internal/config"
)

const (
	clientID     = "loadtest"
	clientSecret = "not-a-secret" // anyone may be anyone at the load provider

	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// program is the Changebank that is measured.
type program struct {
	*site
	processes
	data    string // the data file, "" if there is none or it is not ours
	started []replica
	dir     string // of all that this command made for it
}

// replica is a process that this command started.
type replica struct {
	command *exec.Cmd
	log     string // a file
	ended   chan struct{}
}

// settings are what a Changebank needs for a load test. A person logs in more
// often here than anyone does, and all laptops are at one process. The other
// limits stay as they are, so that their counters cost what they always cost.
func settings(appURL, issuer string) []string {
	all := []string{
		"APP_URL=" + appURL, "ISSUER=" + issuer, "CLIENT_ID=" + clientID, "CLIENT_SECRET=" + clientSecret,
		"CLIENT_AUTH=post", "TRUSTED_PROXIES=127.0.0.0/8,::1/128", "LIMIT_LIVE=1000000",
	}
	for _, name := range config.Names() {
		if strings.HasPrefix(name, "LIMIT_") && strings.HasSuffix(name, "_PER_ADDRESS") {
			all = append(all, name+"=6000")
		}
	}
	return all
}

// startProgram builds the program, unless o names one, and starts its replicas.
// On an error nothing is left.
func startProgram(ctx context.Context, o options, appURL, issuer string, ports []int) (p *program, err error) {
	p = &program{site: &site{origin: appURL}}
	if p.dir, err = os.MkdirTemp("", "changebank-loadtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	path := o.program
	if path == "" {
		path = filepath.Join(p.dir, "changebank")
		if err := build(ctx, path); err != nil {
			return nil, err
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	env := append(settings(appURL, issuer), "APP_SECRET_KEY="+strings.Repeat("load", 8))
	if o.redis != "" {
		env = append(env, "REDIS_URL="+o.redis)
	}
	for i, port := range ports {
		dir := filepath.Join(p.dir, strconv.Itoa(i))
		if err := p.startReplica(path, dir, append(slices.Clone(env), "PORT="+strconv.Itoa(port), "DATA_DIR="+dir)); err != nil {
			return nil, err
		}
		p.replicas = append(p.replicas, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if o.redis == "" {
		p.data = filepath.Join(p.dir, "0", "changebank.db")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.awaitReady(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.lastWords())
	}
	return p, nil
}

// build builds the program.
func build(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "changebank").CombinedOutput()
	if err != nil {
		return fmt.Errorf("the program was not built; run this command in its folder, or name a program with -program: %w\n%s", err, out)
	}
	return nil
}

// startReplica starts one process, with nothing of this one's environment and
// away from any .env.
func (p *program) startReplica(path, dir string, env []string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(path)
	command.Env, command.Dir = env, dir
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("the program was not started: %w", err)
	}
	r := replica{command, log.Name(), make(chan struct{})}
	go func() {
		_ = command.Wait() // what it wrote says why
		close(r.ended)
	}()
	p.started = append(p.started, r)
	p.processes = append(p.processes, command.Process.Pid)
	return nil
}

// awaitReady waits until people can log in at every replica, or one of them has
// ended.
func (p *program) awaitReady(ctx context.Context) error {
	for i, addr := range p.replicas {
		alone := newBrowser(&site{origin: p.origin, replicas: []string{addr}}, laptopAgent, "127.0.0.1")
		defer alone.close()
		for {
			_, err := alone.get(ctx, "/readyz")
			if err == nil {
				break
			}
			rest(ctx, 50*time.Millisecond)
			if ctx.Err() != nil {
				return fmt.Errorf("the program at %s is not ready: %w", addr, err)
			}
			if i < len(p.started) && p.started[i].hasEnded() {
				return errors.New("the program has ended; its log says")
			}
		}
	}
	return nil
}

func (r replica) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// lastWords returns the ends of the replicas' logs.
func (p *program) lastWords() string {
	var all []string
	for _, r := range p.started {
		text, _ := os.ReadFile(r.log)
		all = append(all, string(text[max(0, len(text)-2000):]))
	}
	return strings.Join(all, "\n")
}

// stop ends the processes that this command started, and removes their data.
func (p *program) stop() {
	for _, r := range p.started {
		_ = r.command.Process.Signal(os.Interrupt)
	}
	for _, r := range p.started {
		kill := time.AfterFunc(stopTimeout, func() { _ = r.command.Process.Kill() })
		<-r.ended
		kill.Stop()
	}
	_ = os.RemoveAll(p.dir)
}

// freePorts returns ports that nobody uses now. The program must know its own
// before it starts, since APP_URL is the same for all replicas.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, listenErr
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
