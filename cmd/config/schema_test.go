//go:build linux

package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("banyan.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("banyan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, text []byte) error {
	var v any
	if err := yaml.Load(text, &v); err != nil {
		return err
	}
	return s.Validate(v)
}

// TestSchemaTakesTheExample: an editor finds nothing wrong in what Load finds nothing wrong in.
func TestSchemaTakesTheExample(t *testing.T) {
	s := compileSchema(t)
	for name, text := range map[string][]byte{
		"example": []byte(Example()), "example, all on": []byte(exampleInFull()), "built in": []byte(builtInText),
		"good": part(t, "good", "banyan.yaml"), "limits-default": part(t, "limits-default", "banyan.yaml"),
	} {
		if err := validate(s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses: an editor shows what names, kinds, words and bounds show.
func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	for _, text := range []string{
		"listners: []", "version: 2", "limits: { message_bytes_max: 1 meg }", "limits: { depth_max: 513 }",
		"limits: { depth_max: 7 }", "log: { level: verbose }", "listeners: [{}]", "listeners: 127.0.0.1:8080",
		"keepalive: { ping_interval: 10 }", "realms: [{ uri: a, roles: [] }]", "drain: 8s",
		"listeners: [{ address: a, protocols: [websoket] }]", "listeners: [{ address: a, protocols: [] }]",
		"keepalive: { rawsocket_pings: maybe }", "budget: { bytes: [1] }",
		"realms: [{ uri: a, auth: {}, roles: [], users: { a: {} } }]",
	} {
		if err := validate(s, []byte(text)); err == nil {
			t.Errorf("the schema takes %s", text)
		}
	}
	for _, text := range []string{
		"limits: { depth_max: 512 }", "limits: { depth_max: \"${DEPTH}\" }", "keepalive: { ping_interval: 0 }",
		"limits: { message_bytes_max: 1024 }", "process: { loops: auto }", "process: { loops: 4 }",
		"limits: { connections_per_address_max: 0 }", "keepalive: { ping_interval: 1m30s }",
		"listeners: [{ address: a, tls: { min_version: 1.3 } }]", "log: { level: \"${LEVEL:-info}\" }",
		"listeners: [{ address: a, origins: \"*\" }]", "realms: [{ uri: a, auth: { wampcra: }, roles: [] }]",
	} {
		if err := validate(s, []byte(text)); err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
}

// TestSchemaDescribesEverything: an editor shows what every key is for.
func TestSchemaDescribesEverything(t *testing.T) {
	text := string(Schema())
	for _, o := range all(root()) {
		if !strings.Contains(text, `"`+o.key+`": {`) {
			t.Errorf("%s is not in the schema", o.path)
		}
	}
	if n := strings.Count(text, `"description"`); n < len(all(root())) {
		t.Errorf("%d descriptions for %d options", n, len(all(root())))
	}
}

// part is a file of an archive of testdata.
func part(t *testing.T, archive, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", archive+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse(text).Files {
		if f.Name == name {
			return f.Data
		}
	}
	t.Fatalf("no %s in %s", name, archive)
	return nil
}

// exampleInFull is the example with everything turned on.
func exampleInFull() string {
	var b strings.Builder
	for line := range strings.Lines(Example()) {
		b.WriteString(strings.TrimPrefix(line, "#-"))
	}
	return b.String()
}
