package tests

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"changebank/internal/config"
)

// longestStop is how long a process takes at most to stop after its delay, as
// docs/operations.md says (TestLongestStop).
const longestStop = 35 * time.Second

// Each service that faces people, or has their data, can do little if it is taken
// over. FusionAuth and its database bring settings of their own.
func TestComposePrivileges(t *testing.T) {
	t.Parallel()
	for name, service := range mustCompose(t, nil).Services {
		if service.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s is not restarted after a crash: %q", name, service.Restart)
		}
		if name == "db" || name == "fusionauth" {
			continue
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || !slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: read-only %t, drops %v, has %v; want a read-only file system, no capabilities and no new privileges",
				name, service.ReadOnly, service.CapDrop, service.SecurityOpt)
		}
		if service.Build == nil {
			continue
		}
		if service.HealthCheck != nil {
			t.Errorf("%s has another health check than the image", name)
		}
		delay, _ := time.ParseDuration(environment(service)["SHUTDOWN_DELAY"])
		if grace := service.StopGracePeriod; grace == nil || time.Duration(*grace) < delay+longestStop {
			t.Errorf("%s is killed after %v, want %v or more", name, grace, delay+longestStop)
		}
	}
}

// The replicas differ in nothing, share a key and a Redis, and believe their
// proxy and nobody else.
func TestComposeReplicas(t *testing.T) {
	t.Parallel()
	const key = "a-key-of-32-characters-or-more-$-and-#"
	project := mustCompose(t, map[string]string{"APP_SECRET_KEY": key, "TRUSTED_PROXIES": "192.0.2.1", "REDIS_URL": "redis://elsewhere", "SHUTDOWN_DELAY": "1s"})
	proxy := project.Services["proxy"]
	addr := netip.MustParseAddr(proxy.Networks["default"].Ipv4Address)
	ipam := project.Networks["default"].Ipam.Config[0]
	if subnet := netip.MustParsePrefix(ipam.Subnet); !subnet.Contains(addr) || addr.String() == ipam.Gateway || !subnet.Contains(addr.Next()) {
		t.Errorf("%s is not an address for a service in %s", addr, subnet)
	}
	if dynamic := netip.MustParsePrefix(ipam.IPRange); dynamic.Contains(addr) || !dynamic.Contains(netip.MustParseAddr(ipam.Gateway)) {
		t.Errorf("Docker may give %s, in %s, to another service", addr, dynamic)
	}

	var upstreams []string
	for _, name := range []string{"replica-1", "replica-2"} {
		replica := project.Services[name]
		given := imageEnv(t)
		maps.Copy(given, environment(replica))
		cfg, err := config.Load(environ(given), "no .env", config.Options{})
		if err != nil {
			t.Fatalf("the settings of %s: %v", name, err)
		}
		if want := []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}; !slices.Equal(cfg.TrustedProxies, want) {
			t.Errorf("%s trusts %v, want only the proxy, %v", name, cfg.TrustedProxies, want)
		}
		if len(cfg.AppSecretKeys) != 1 || string(cfg.AppSecretKeys[0]) != key {
			t.Errorf("%s has another APP_SECRET_KEY than .env", name)
		}
		if string(cfg.RedisURL) != "redis://redis:6379" {
			t.Errorf("%s uses the Redis at %s", name, string(cfg.RedisURL))
		}
		if cfg.ShutdownDelay < 2*2*time.Second { // the proxy asks every 2 seconds
			t.Errorf("%s stops after %v, when the proxy may not have noticed", name, cfg.ShutdownDelay)
		}
		if len(replica.Ports) > 0 {
			t.Errorf("%s can be reached past the proxy: %v", name, replica.Ports)
		}
		upstreams = append(upstreams, name+":5000")

		issuer := project.Services["issuer-"+strings.TrimPrefix(name, "replica-")]
		if issuer.NetworkMode != "service:"+name || !strings.HasPrefix(strings.Join(issuer.Command, " "), "TCP-LISTEN:9011,bind=127.0.0.1,") {
			t.Errorf("%s does not find FusionAuth at localhost:9011", name)
		}
	}

	caddyfile := topFile(t, "docker/Caddyfile")
	for _, want := range []string{"\n:5000 {", "reverse_proxy " + strings.Join(upstreams, " ") + " {", "health_uri /readyz", "health_interval 2s"} {
		if !strings.Contains(caddyfile, want) {
			t.Errorf("docker/Caddyfile lacks %q", want)
		}
	}
	if mount := proxy.Volumes[0]; mount.Source != "/changebank/docker/Caddyfile" || mount.Target != "/etc/caddy/Caddyfile" || !mount.ReadOnly {
		t.Errorf("the proxy's settings are %+v", mount)
	}
	if len(proxy.Ports) != 1 || proxy.Ports[0].Target != 5000 {
		t.Errorf("the proxy publishes %+v, want the port that it listens on", proxy.Ports)
	}
}

// Redis asks for no password, so only the replicas may reach it, and it keeps
// what it has confirmed.
func TestComposeRedis(t *testing.T) {
	t.Parallel()
	project := mustCompose(t, nil)
	redis := project.Services["redis"]
	if len(redis.Ports) > 0 || len(redis.Networks) != 1 {
		t.Errorf("Redis publishes %v and is in the networks %v", redis.Ports, redis.Networks)
	}
	for network := range redis.Networks {
		if !project.Networks[network].Internal {
			t.Errorf("the network %s of Redis is not internal", network)
		}
		for name, service := range project.Services {
			if _, there := service.Networks[network]; there && name != "redis" && !strings.HasPrefix(name, "replica-") {
				t.Errorf("%s can reach Redis", name)
			}
		}
	}
	command := strings.Join(redis.Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction", "--maxmemory "} {
		if !strings.Contains(command, want) {
			t.Errorf("redis-server %s: want %s", command, want)
		}
	}
	if len(redis.Volumes) != 1 || redis.Volumes[0].Target != "/data" || redis.User == "" {
		t.Errorf("Redis keeps its data in %+v as the user %q, want a volume and a user other than root", redis.Volumes, redis.User)
	}
}
