package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// bareFlag makes this command the bare server.
const bareFlag = "-bare"

// bareServer is what everything is compared with: a net/http server that writes
// bytes it was given. It is a process of its own, so that its processor time
// can be told from that of the browsers.
type bareServer struct {
	*site
	processes
	command *exec.Cmd
	stdin   io.Closer // the server ends with it
}

// startBare starts this command again as the bare server.
func startBare() (*bareServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bareServer{command: exec.Command(self, bareFlag)}
	b.command.Stderr = os.Stderr
	out, err := b.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if b.stdin, err = b.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := b.command.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("the bare server did not start: %w", err)
	}
	addr = strings.TrimSpace(addr)
	b.site = &site{origin: "http://" + addr, replicas: []string{addr}}
	b.processes = processes{b.command.Process.Pid}
	return b, nil
}

func (b *bareServer) stop() {
	_ = b.stdin.Close()
	_ = b.command.Wait()
}

// imitate makes the bare server answer at a path with what the program sent.
func (b *bareServer) imitate(ctx context.Context, path string, p page) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, b.origin+path, strings.NewReader(p.body))
	if err != nil {
		return err
	}
	for name, values := range p.head {
		if name != "Date" && name != "Content-Length" && name != "Set-Cookie" {
			req.Header["X-Copy-"+name] = values
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the bare server: %w", err)
	}
	return resp.Body.Close()
}

// runBare is the bare server's process. It says its address, and ends with its
// standard input.
func runBare(stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, l.Addr())
	server := &http.Server{Handler: new(copies)}
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		_ = server.Close()
	}()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// copies answers with what was put at a path, and at /events with a stream.
type copies struct {
	mu sync.RWMutex
	of map[string]copied
}

type copied struct {
	head http.Header
	body []byte
}

func (c *copies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut:
		c.put(r)
		return
	case r.URL.Path == "/events":
		c.stream(w, r)
		return
	}
	c.mu.RLock()
	found := c.of[r.URL.Path]
	c.mu.RUnlock()
	if r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	maps.Copy(w.Header(), found.head)
	_, _ = w.Write(found.body)
}

func (c *copies) put(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	head := make(http.Header)
	for name, values := range r.Header {
		if name, ok := strings.CutPrefix(name, "X-Copy-"); ok {
			head[name] = values
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]copied)
	}
	c.of[r.URL.Path] = copied{head, body}
}

// stream sends one event, and then a sign of life as often as the program does.
func (c *copies) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	text := "event: state\ndata: {\"state\": \"waiting\"}\n\n"
	for {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(15 * time.Second):
			text = ": keep-alive\n\n"
		}
	}
}
