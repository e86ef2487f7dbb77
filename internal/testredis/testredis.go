// Package testredis runs a real redis-server for tests.
package testredis

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"changebank/internal/testneed"
)

const patience = 20 * time.Second // only a failing test waits that long

// A Server is a redis-server on 127.0.0.1. It keeps its data, if it was started
// to keep any, in a folder of its own.
type Server struct {
	Addr string // host and port of the TCP listener
	Dir  string // its working folder, in which redis.sock is

	// Admin is a client for a user with all rights.
	Admin *redis.Client

	t       testing.TB
	program string
	args    []string
	process *exec.Cmd
	exited  chan struct{}
	log     *output
}

// Start runs a redis-server until the test ends. It keeps nothing on disk, unless
// args (like "--appendonly", "yes") say otherwise.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{
		Dir:     dir,
		t:       t,
		program: testneed.Program(t, "redis-server is not installed, so Redis is not tested.", "redis-server", "valkey-server"),
		args:    append([]string{"--save", "", "--dir", dir, "--bind", "127.0.0.1", "--unixsocket", filepath.Join(dir, "redis.sock")}, args...),
		log:     new(output),
	}
	t.Cleanup(func() {
		s.Kill()
		if s.Admin != nil {
			_ = s.Admin.Close()
		}
		if t.Failed() {
			t.Logf("the output of redis-server:\n%s", s.log)
		}
	})
	for range 5 { // another program may be quicker to take the port
		s.Addr = freeAddr(t)
		if s.run() {
			break
		}
	}
	if s.process == nil {
		t.Fatalf("redis-server did not start:\n%s", s.log)
	}
	s.Authenticate("")
	return s
}

// Authenticate gives Admin a password, for a server that requires one.
func (s *Server) Authenticate(password string) {
	if s.Admin != nil {
		_ = s.Admin.Close()
	}
	s.Admin = redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket(), Password: password, Protocol: 2, DisableIdentity: true})
}

// URL returns a REDIS_URL for the TCP listener.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Socket returns the path of the Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "redis.sock") }

// Do runs a command as the administrator.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	answer, err := s.Admin.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("redis: %v: %v", args, err)
	}
	return answer
}

// Kill ends the server with kill -9 and waits until it has gone.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	<-s.exited
	s.process = nil
}

// Restart starts the server again after [Server.Kill], at the same address.
func (s *Server) Restart() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !s.run(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("redis-server did not start again:\n%s", s.log)
		}
	}
}

// Pause stops the server in the middle of what it does, until [Server.Resume]:
// connections stay open, and nothing is answered.
func (s *Server) Pause() { s.signal("-STOP") }

// Resume ends a [Server.Pause].
func (s *Server) Resume() { s.signal("-CONT") }

func (s *Server) signal(signal string) {
	s.t.Helper()
	// The signals do not exist on Windows, where this must still compile.
	if out, err := exec.Command("kill", signal, strconv.Itoa(s.process.Process.Pid)).CombinedOutput(); err != nil {
		s.t.Fatalf("kill %s: %v: %s", signal, err, out)
	}
}

// run starts the server and reports whether it accepts connections.
func (s *Server) run() bool {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	listen := "--port"
	for _, arg := range s.args {
		if strings.HasPrefix(arg, "--tls-cert-file") {
			listen = "--tls-port"
		}
	}
	args := append([]string{listen, port}, s.args...)
	if listen != "--port" {
		args = append([]string{"--port", "0"}, args...)
	}
	process := exec.Command(s.program, args...)
	s.log.Reset()
	process.Stdout, process.Stderr = s.log, s.log
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = process.Wait() // it is killed
		close(exited)
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-exited:
			return false
		default:
		}
		if strings.Contains(s.log.String(), "Ready to accept connections") || strings.Contains(s.log.String(), "now ready to accept connections at") {
			s.process, s.exited = process, exited
			return true
		}
	}
	_ = process.Process.Kill()
	<-exited
	return false
}

func freeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "127.0.0.1:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Reset()
}
