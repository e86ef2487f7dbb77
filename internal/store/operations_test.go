package store

import (
	"os"
	"strings"
	"testing"
)

// The operator's page has the rights that the program needs.
func TestRightsInOperations(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "ACL SETUSER changebank on >PASSWORD "+redisRights+"\n") {
		t.Errorf("docs/operations.md lacks %s", redisRights)
	}
}
