package tests

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"changebank/internal/config"
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
	// The image must not keep what git must not.
	ignored := strings.Fields(topFile(t, ".dockerignore"))
	for line := range strings.FieldsSeq(topFile(t, ".gitignore")) {
		if name := strings.Trim(line, "/"); !slices.Contains(ignored, name) && !slices.Contains(ignored, "**/"+name) {
			t.Errorf(".dockerignore lacks %s", name)
		}
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
