package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"changebank/internal/testredis"
)

// wantOpenError wants a start that says what is wrong. Where waiting is useless,
// it does not wait.
func wantOpenError(t *testing.T, url string, wait time.Duration, wants ...string) {
	t.Helper()
	log := new(lines)
	began := time.Now()
	r, err := openRedis(t.Context(), url, wait, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err == nil {
		_ = r.Close()
		t.Errorf("openRedis: no error, want one with %q", wants)
		return
	}
	for _, want := range append(wants, "REDIS_URL") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("openRedis: %v, want %q in it", err, want)
		}
	}
	if text := err.Error() + log.String(); strings.Contains(text, "SECRET") {
		t.Errorf("the error or the log shows the password: %s", text)
	}
	if took := time.Since(began); wait != time.Second && took > timeout {
		t.Errorf("openRedis took %v", took)
	}
}

func TestRedisStart(t *testing.T) {
	server := testredis.Start(t, "--requirepass", "SECRET")
	server.Authenticate("SECRET")
	limited := withUser(t, server, "limited", "SECRET-2")
	server.Do("ACL", "SETUSER", "limited", "on", ">SECRET-2", "~other:*", "+@all")

	const long = 10 * time.Second // longer than a start may take that need not wait
	wantOpenError(t, withUser(t, server, "", "SECRET-wrong"), long, "the user or the password is wrong")
	wantOpenError(t, withUser(t, server, "nobody", "SECRET"), long, "the user or the password is wrong")
	wantOpenError(t, server.URL(), long, "it requires a password")
	wantOpenError(t, withUser(t, server, "", "SECRET")+"/99", long, "does not have that database number")
	wantOpenError(t, limited, long, "the user lacks rights; allow it: ~changebank:*")
	wantOpenError(t, strings.Replace(withUser(t, server, "", "SECRET"), "redis://", "rediss://", 1), 0, "if it does not use TLS", "redis://")
	for _, policy := range []string{"allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"} {
		server.Do("CONFIG", "SET", "maxmemory-policy", policy)
		wantOpenError(t, withUser(t, server, "", "SECRET"), long, "maxmemory-policy "+policy, "noeviction")
	}
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	openedRedis(t, withUser(t, server, "", "SECRET")+"/3")
	openedRedis(t, withUser(t, server, "default", "SECRET"))

	cluster := testredis.Start(t, "--cluster-enabled", "yes")
	wantOpenError(t, cluster.URL(), long, "runs as a cluster")
}

func TestRedisTooOld(t *testing.T) {
	for version, old := range map[string]bool{"5.0.14": true, "2.8.9": true, "6.0.0": false, "7.2.4": false, "10.0.1": false, "": false} {
		err := checkInfo("# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n")
		if (err != nil) != old || old && !strings.Contains(err.Error(), version) {
			t.Errorf("Redis %s: %v, want an error with the version: %t", version, err, old)
		}
	}
}

// The documented rights are enough, and the start notices each that is missing.
func TestRedisRights(t *testing.T) {
	server := testredis.Start(t)
	url := withUser(t, server, "bank", "SECRET") + "/1"
	allow := func(rights []string) {
		t.Helper()
		server.Do("SCRIPT", "FLUSH")
		server.Do("ACL", "DELUSER", "bank")
		args := []any{"ACL", "SETUSER", "bank", "on", ">SECRET"}
		for _, right := range rights {
			args = append(args, right)
		}
		server.Do(args...)
	}
	rights := strings.Fields(redisRights)
	allow(rights)
	r, _ := openedRedis(t, url)
	ch := r.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	mustSwap(t, r, "key", nil, []byte("v"), later())
	wantTick(t, ch, "after a change")
	mustSwap(t, r, "key", []byte("v"), nil, later())
	mustNew(t, r, newKey)
	for i := range rights {
		t.Run("without "+rights[i], func(t *testing.T) {
			less := append([]string(nil), rights[:i]...)
			allow(append(less, rights[i+1:]...))
			wantOpenError(t, url, 10*time.Second, "the user lacks rights; allow it: "+redisRights)
		})
	}
}

// Redis may start after this program.
func TestRedisIsAwaited(t *testing.T) {
	server := testredis.Start(t)
	server.Kill()
	url := withUser(t, server, "", "SECRET")
	wantOpenError(t, url, time.Second, server.Addr, "after waiting 1s", "connection refused")

	log := new(lines)
	opened := make(chan error, 1)
	go func() {
		r, err := openRedis(t.Context(), server.URL(), time.Minute, slog.New(slog.NewTextHandler(log, nil)))
		if err == nil {
			err = r.Close()
		}
		opened <- err
	}()
	eventually(t, "log", func() error {
		if !strings.Contains(log.String(), "waiting for Redis") {
			return errors.New("the program does not say that it waits")
		}
		return nil
	})
	server.Restart()
	if err := <-opened; err != nil {
		t.Errorf("openRedis: %v", err)
	}
	if got := strings.Count(log.String(), "waiting for Redis"); got != 1 {
		t.Errorf("the program said %d times that it waits:\n%s", got, log)
	}

	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := openRedis(ctx, server.URL(), time.Minute, slog.New(slog.DiscardHandler)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("openRedis whose context ends: %v", err)
	}
}

// TLS, with the certificate of an authority in SSL_CERT_FILE. Go reads that once
// in a process, so this is one test.
func TestRedisTLS(t *testing.T) {
	known, unknown := newCertificate(t, "127.0.0.1"), newCertificate(t, "127.0.0.1")
	t.Setenv("SSL_CERT_FILE", known.file)
	secure := func(c certificate) string {
		server := testredis.Start(t, "--tls-cert-file", c.file, "--tls-key-file", c.key, "--tls-ca-cert-file", c.file, "--tls-auth-clients", "no")
		return "rediss://" + server.Addr
	}
	url := secure(known)
	r, _ := openedRedis(t, url)
	ch := r.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	mustSwap(t, r, "key", nil, []byte("v"), later())
	wantTick(t, ch, "after a change")
	wantOpenError(t, strings.Replace(url, "rediss", "redis", 1), 0, "if it requires TLS", "rediss://")
	wantOpenError(t, secure(unknown), 10*time.Second, "unknown authority", "SSL_CERT_FILE")
	wantOpenError(t, strings.Replace(url, "127.0.0.1", "localhost", 1), 10*time.Second, "not valid for this address")
}

type certificate struct{ file, key string }

// newCertificate makes a certificate for an IP address that signs itself.
func newCertificate(t *testing.T, ip string) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: rand.Text()},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.ParseIP(ip)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := certificate{filepath.Join(t.TempDir(), "certificate.pem"), filepath.Join(t.TempDir(), "key.pem")}
	mustWrite(t, c.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	mustWrite(t, c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if err := os.Chmod(c.key, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}
