package tests

import (
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"changebank/internal/config"
	"changebank/kickstart"
)

// compose reads docker-compose.yml as Docker does: interpolated, checked against
// the specification, and with the services of every profile.
func compose(t *testing.T, env map[string]string) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "/changebank",
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(topFile(t, "docker-compose.yml"))}},
		Environment: env,
	}, func(o *loader.Options) { o.SetProjectName("changebank", false) }, loader.WithProfiles([]string{"*"}))
}

// composeEnv is what .env must have at least.
var composeEnv = map[string]string{
	"ISSUER":         "http://localhost:9011",
	"CLIENT_SECRET":  "a test's secret, + and / and $ and %",
	"USER_PASSWORD":  "user-password",
	"ADMIN_PASSWORD": "admin-password",
}

func mustCompose(t *testing.T, more map[string]string) *types.Project {
	t.Helper()
	env := maps.Clone(composeEnv)
	maps.Copy(env, more)
	project, err := compose(t, env)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// environment returns a service's variables that are set.
func environment(s types.ServiceConfig) map[string]string {
	env := make(map[string]string)
	for name, value := range s.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

func TestComposeMissingSettings(t *testing.T) {
	t.Parallel()
	for name := range composeEnv {
		for _, missing := range []map[string]string{{}, {name: ""}} {
			env := maps.Clone(composeEnv)
			delete(env, name)
			maps.Copy(env, missing)
			if _, err := compose(t, env); err == nil || !strings.Contains(err.Error(), "put "+name+"=") {
				t.Errorf("without %s: %v, want a message that says where to put it", name, err)
			}
		}
	}
}

// Compose has only settings of the program, and no secret of its own.
func TestComposeVariables(t *testing.T) {
	t.Parallel()
	var file map[string]any
	if err := yaml.Unmarshal([]byte(topFile(t, "docker-compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	settings := config.Names()
	variables := template.ExtractVariables(file, nil)
	for name, variable := range variables {
		if !slices.Contains(settings, name) {
			t.Errorf("${%s} is not a setting", name)
		}
		secret := strings.Contains(name, "SECRET") || strings.Contains(name, "PASSWORD")
		if secret && (variable.DefaultValue != "" || !variable.Required) {
			t.Errorf("${%s} has the default %q, want none and to be required", name, variable.DefaultValue)
		}
	}
	for name := range composeEnv {
		if !variables[name].Required {
			t.Errorf("${%s} is not required", name)
		}
	}
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z./-]+:v?[0-9]+\.[0-9]+`)
	services := mustCompose(t, nil).Services
	for name, service := range services {
		if provider := name == "db" || name == "fusionauth"; provider != (len(service.Profiles) == 0) {
			t.Errorf("%s is in the profiles %q, want FusionAuth and its database in none and the rest in one", name, service.Profiles)
		}
		if service.Build == nil && !pinned.MatchString(service.Image) {
			t.Errorf("%s runs %s, want a version", name, service.Image)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want this machine only", name, port.Published, port.HostIP)
			}
		}
	}
	for _, name := range []string{"db", "fusionauth"} {
		if check := services[name].HealthCheck; check == nil || len(check.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
	if got := services["fusionauth"].DependsOn["db"].Condition; got != types.ServiceConditionHealthy {
		t.Errorf("FusionAuth starts when its database is %q, want healthy", got)
	}
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		services := mustCompose(t, map[string]string{"LISTEN": addr}).Services
		for _, name := range []string{"fusionauth", "app"} {
			if got := services[name].Ports[0].HostIP; got != addr {
				t.Errorf("with LISTEN=%s %s is published on %q", addr, name, got)
			}
		}
	}
}

// Compose reads the same .env as the program, so it must understand every line
// of .env.example.
func TestComposeEnvExample(t *testing.T) {
	t.Parallel()
	lines := envExample(t)
	maps.DeleteFunc(lines, func(_, value string) bool { return value == "" })
	services := mustCompose(t, lines).Services
	for name, port := range map[string]string{"fusionauth": "9011", "app": lines["PORT"]} {
		got := services[name].Ports[0]
		if addr, err := netip.ParseAddr(got.HostIP); err != nil || addr.String() != lines["LISTEN"] || got.Published != port {
			t.Errorf("%s is published on %q, port %s; want %s, port %s", name, got.HostIP, got.Published, lines["LISTEN"], port)
		}
	}
	if _, err := config.Load(environ(environment(services["app"])), "no .env", config.Options{}); err != nil {
		t.Errorf("the container's settings: %v", err)
	}
}

// The database asks for no password, so only FusionAuth may reach it.
func TestComposeDatabase(t *testing.T) {
	t.Parallel()
	project := mustCompose(t, nil)
	db := project.Services["db"]
	if len(db.Ports) > 0 || db.NetworkMode != "" {
		t.Errorf("the database publishes %v and has network mode %q", db.Ports, db.NetworkMode)
	}
	for network := range db.Networks {
		if !project.Networks[network].Internal {
			t.Errorf("the database's network %s is not internal", network)
		}
		for name, service := range project.Services {
			if _, there := service.Networks[network]; there && name != "db" && name != "fusionauth" {
				t.Errorf("%s can reach the database", name)
			}
		}
	}
}

// The kickstart finds every variable, and the bank gets the same value of those
// that both need.
func TestComposeKickstart(t *testing.T) {
	t.Parallel()
	project := mustCompose(t, nil)
	fusionauth := project.Services["fusionauth"]
	env := environment(fusionauth)
	wanted := groups(`#\{ENV\.([A-Z_]+)\}`, string(kickstart.JSON))
	if len(wanted) == 0 {
		t.Fatal("no variables were found in the kickstart")
	}
	for _, name := range wanted {
		if want := composeEnv[name]; env[name] == "" || want != "" && env[name] != want {
			t.Errorf("the kickstart's %s is %q, want %q", name, env[name], want)
		}
	}
	bank := environment(project.Services["app"])
	for _, name := range []string{"APP_URL", "ISSUER", "CLIENT_ID", "CLIENT_SECRET"} {
		if bank[name] != env[name] {
			t.Errorf("%s is %q for the bank and %q for FusionAuth", name, bank[name], env[name])
		}
	}
	defaults, err := config.Load(nil, "no .env", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if env["APP_URL"] != defaults.AppURL || env["CLIENT_ID"] != defaults.ClientID {
		t.Errorf("the defaults are %s and %s, want the program's %s and %s", env["APP_URL"], env["CLIENT_ID"], defaults.AppURL, defaults.ClientID)
	}
	if got := environment(mustCompose(t, map[string]string{"PORT": "8080"}).Services["fusionauth"])["APP_URL"]; got != "http://localhost:8080" {
		t.Errorf("with PORT=8080 APP_URL is %q", got)
	}

	dir, file := path.Split(env["FUSIONAUTH_APP_KICKSTART_FILE"])
	mounted := slices.ContainsFunc(fusionauth.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Target == path.Clean(dir) && v.Source == "/changebank/kickstart" && v.ReadOnly
	})
	if !mounted || file != "kickstart.json" {
		t.Errorf("FusionAuth looks for %s%s, and ./kickstart is not mounted there read-only", dir, file)
	}
}

// notForContainers are settings that mean nothing in a container.
var notForContainers = []string{
	"DEMO", "DEMO_URL", "DEMO_PORT", "USER_PASSWORD", "ADMIN_PASSWORD", // the demo provider's
	"NGROK_API",      // a container is started without flags
	"PORT", "LISTEN", // ports says where it is reached
	"DATA_DIR", // a volume
}

// The bank in a container gets the settings of .env, and accepts them.
func TestComposeBank(t *testing.T) {
	t.Parallel()
	settings := config.Names()
	env := make(map[string]string)
	for _, name := range settings {
		if !slices.Contains(notForContainers, name) {
			env[name] = "the $ and # of " + name
		}
	}
	given := environment(mustCompose(t, env).Services["app"])
	for name := range given {
		if !slices.Contains(settings, name) {
			t.Errorf("the container gets %s, which is not a setting", name)
		}
	}
	for name, want := range env {
		if given[name] != want {
			t.Errorf("%s is %q in the container, want %q as in .env", name, given[name], want)
		}
	}
}

// Docker's ports, volumes and networks lead to the bank in its container.
func TestComposeBankIsReached(t *testing.T) {
	t.Parallel()
	project := mustCompose(t, map[string]string{"PORT": "8080", "LISTEN": "192.0.2.1", "DATA_DIR": "/elsewhere"})
	app := project.Services["app"]
	given := imageEnv(t)
	maps.Copy(given, environment(app))
	cfg, err := config.Load(environ(given), "no .env", config.Options{})
	if err != nil {
		t.Fatalf("the container's settings: %v", err)
	}
	if port := app.Ports[0]; len(app.Ports) != 1 || port.HostIP != "192.0.2.1" || port.Published != "8080" || port.Target != uint32(cfg.Port) {
		t.Errorf("the bank's ports are %+v, want 192.0.2.1:8080 to lead to %d", app.Ports, cfg.Port)
	}
	if !slices.Equal(cfg.Listen, []string{"0.0.0.0"}) {
		t.Errorf("the bank listens on %q in its container, where its gateway cannot reach it", cfg.Listen)
	}
	if len(app.Volumes) != 1 || cfg.DataDir != app.Volumes[0].Target || cfg.DataDir != imageEnv(t)["DATA_DIR"] {
		t.Errorf("the bank's volumes are %+v and its DATA_DIR is %q, want the image's", app.Volumes, cfg.DataDir)
	}

	// For the bank localhost:9011 is FusionAuth, as it is for browsers.
	issuer := project.Services["issuer"]
	want := "TCP-LISTEN:9011,bind=127.0.0.1,fork,reuseaddr TCP:fusionauth:9011"
	if got := strings.Join(issuer.Command, " "); issuer.NetworkMode != "service:app" || got != want {
		t.Errorf("the issuer's forwarder has network mode %q and runs %q, want %q in the bank's", issuer.NetworkMode, got, want)
	}
	if _, ok := app.Networks["default"]; !ok {
		t.Error("the bank shares no network with FusionAuth")
	}
}

// The bank's only trusted proxy is the gateway of its network. Everyone else,
// another container or a browser in the local network, could claim any address.
func TestComposeProxies(t *testing.T) {
	t.Parallel()
	project := mustCompose(t, nil)
	app := project.Services["app"]
	if len(app.Networks) != 1 {
		t.Fatalf("the bank is in the networks %v, want the default one only", app.Networks)
	}
	networks := project.Networks["default"].Ipam.Config
	if len(networks) != 1 {
		t.Fatalf("the default network has the subnets %v, want one that is fixed", networks)
	}
	subnet, gateway := netip.MustParsePrefix(networks[0].Subnet), netip.MustParseAddr(networks[0].Gateway)
	if !subnet.IsValid() || subnet != subnet.Masked() || !subnet.Contains(gateway) || !gateway.IsPrivate() {
		t.Errorf("%s is no gateway of the private network %s", gateway, subnet)
	}
	cfg, err := config.Load(environ(environment(app)), "no .env", config.Options{})
	if err != nil {
		t.Fatalf("the container's settings: %v", err)
	}
	if want := []netip.Prefix{netip.PrefixFrom(gateway, gateway.BitLen())}; !slices.Equal(cfg.TrustedProxies, want) {
		t.Errorf("the bank trusts %v, want only its gateway %s", cfg.TrustedProxies, gateway)
	}

	// Where others can connect, they may come from the gateway, too.
	lan := environment(mustCompose(t, map[string]string{"LISTEN": "192.0.2.1"}).Services["app"])
	if got := lan["TRUSTED_PROXIES"]; got != "192.0.2.1" {
		t.Errorf("published for others, the bank trusts %q, want this machine's own address", got)
	}
}
