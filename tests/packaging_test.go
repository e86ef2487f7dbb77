package tests

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"changebank/internal/config"
	"changebank/internal/testneed"
)

func TestDockerfile(t *testing.T) {
	t.Parallel()
	dockerfile := topFile(t, "Dockerfile")
	images := groups(`(?m)^FROM (\S+)`, dockerfile)
	for _, image := range images {
		if _, tag, ok := strings.Cut(image, ":"); !ok || tag == "latest" {
			t.Errorf("the image %s has no version", image)
		}
	}
	version := groups(`(?m)^go (\d+\.\d+)`, topFile(t, "go.mod"))[0]
	if !strings.HasPrefix(images[0], "golang:"+version+"-") {
		t.Errorf("the image is built with %s, want the Go %s of go.mod", images[0], version)
	}
	if last := images[len(images)-1]; !strings.HasSuffix(last, ":nonroot") {
		t.Errorf("the program runs in %s, want not as root", last)
	}
	// The last image has no libraries and no shell: the program is static, and
	// checks its own health.
	for _, want := range []string{"CGO_ENABLED=0 go build", `CMD ["/changebank", "-health"]`, `ENTRYPOINT ["/changebank"]`} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
	// The image must not keep what git must not.
	ignored := strings.Fields(topFile(t, ".dockerignore"))
	for line := range strings.FieldsSeq(topFile(t, ".gitignore")) {
		if name := strings.Trim(line, "/"); !slices.Contains(ignored, name) && !slices.Contains(ignored, "**/"+name) {
			t.Errorf(".dockerignore lacks %s", name)
		}
	}
}

// imageEnv returns the settings of the image.
func imageEnv(t *testing.T) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for _, setting := range groups(`(?m)^ENV (\S+)$`, topFile(t, "Dockerfile")) {
		name, value, _ := strings.Cut(setting, "=")
		env[name] = value
	}
	return env
}

// The image listens where its container is reached, so others can reach a demo
// provider in it. It runs one only if that is asked for, and says what to set.
func TestImageSettings(t *testing.T) {
	t.Parallel()
	listen := "LISTEN=" + imageEnv(t)["LISTEN"]
	wantRefusal(t, []string{listen}, "ISSUER is needed", "set ISSUER, CLIENT_ID and CLIENT_SECRET", "DEMO=public")
	wantRefusal(t, []string{listen, "DEMO=public", "USER_PASSWORD=short"}, "USER_PASSWORD is shorter than 12 characters")

	b := startBank(t, listen, "DEMO=public")
	if b.password == "password" {
		t.Error("the demo provider's password is the public one")
	}
	elsewhere, err := net.Listen("tcp", "127.0.0.2:0") // an address that is not in the default of LISTEN
	if err != nil {
		testneed.Missing(t, "127.0.0.2 is not an address of this machine, so the image's LISTEN is not tested there.")
	}
	_ = elsewhere.Close()
	if p := b.browser(t).get("http://127.0.0.2:" + portOf(t, b.URL) + "/healthz"); p.Status != http.StatusOK {
		t.Errorf("at another address of the machine: %v, want an answer", p)
	}
}

// The license names its owner and year.
func TestLicense(t *testing.T) {
	t.Parallel()
	license := topFile(t, "LICENSE")
	if got := groups(`(?m)^ +Copyright (.+)$`, license); len(got) != 1 || !regexp.MustCompile(`^20\d\d [A-Z][a-zA-Z ]+$`).MatchString(got[0]) {
		t.Errorf("the copyright lines are %q, want one with a year and an owner", got)
	}
}

func TestNgrokExample(t *testing.T) {
	t.Parallel()
	var agent struct {
		Version   int
		Agent     struct{ Authtoken string }
		Endpoints []struct {
			Name     string
			Upstream struct{ URL int }
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(topFile(t, "ngrok.yml.example"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&agent); err != nil {
		t.Fatal(err)
	}
	if agent.Version != 3 || agent.Agent.Authtoken == "" {
		t.Errorf("version %d with the token %q, want 3 and a place for a token", agent.Version, agent.Agent.Authtoken)
	}
	defaults, err := config.Load(nil, "no .env", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fusionauth, err := strconv.Atoi(mustCompose(t, nil).Services["fusionauth"].Ports[0].Published)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, endpoint := range agent.Endpoints {
		got[endpoint.Name] = endpoint.Upstream.URL
	}
	if want := map[string]int{"changebank": defaults.Port, "login": fusionauth}; !maps.Equal(got, want) {
		t.Errorf("the tunnels lead to %v, want %v", got, want)
	}
}
