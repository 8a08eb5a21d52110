//go:build linux

package config

import (
	"encoding/json"
	"reflect"
)

// Schema is the JSON Schema (draft 2020-12) of the file, for editors. It knows the names, kinds, words and bounds;
// rules between values are for Load.
func Schema() []byte {
	s := root().schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of Banyan"
	defs := map[string]any{
		// A value of any kind may come from a variable.
		"variable": object{"type": "string", "pattern": `\$\{`},
		"size":     object{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ ?(B|KiB|MiB|GiB)?$`},
		"duration": object{
			"type": []string{"string", "integer"}, "maximum": 0, "minimum": 0,
			"pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`,
		},
	}
	s["$defs"] = defs
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // of our own maps
	}
	return append(text, '\n')
}

type object = map[string]any

func (o *option) schema() object {
	var s object
	variable := object{"$ref": "#/$defs/variable"}
	switch o.kind {
	case section:
		s = o.sectionSchema()
		if o.ptr {
			s["type"] = []string{"object", "null"}
		}
	case list:
		s = object{"type": "array", "items": o.item.sectionSchema()}
		if o.bounds[1] != "" {
			s["maxItems"] = o.max
		}
	case dict:
		s = object{"type": "object", "additionalProperties": o.item.sectionSchema()}
	case free:
		s = object{"type": "object"}
	case words:
		item := o.textSchema()
		s = object{"anyOf": []any{
			object{"type": "array", "items": item, "uniqueItems": true, "minItems": o.least},
			item,
		}}
	case text:
		s = o.textSchema()
	case boolean:
		s = object{"anyOf": []any{object{"type": "boolean"}, object{"enum": []string{"true", "false"}}, variable}}
	default:
		s = object{"anyOf": o.numberSchema(variable)}
	}
	if o.doc != "" {
		s["description"] = o.doc
	}
	if o.isSet && o.text != "" {
		s["default"] = o.defaultJSON()
	}
	return s
}

func (o *option) sectionSchema() object {
	properties, required := object{}, []string{}
	for _, c := range o.fields {
		properties[c.key] = c.schema()
		if c.required {
			required = append(required, c.key)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if o.key == "" && o.path == "" { // sections that are built in
		required = nil
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// textSchema allows numbers too: YAML reads 1.2 and 0660 as such.
func (o *option) textSchema() object {
	if o.enum == nil {
		return object{"type": []string{"string", "number", "boolean"}}
	}
	all := []any{}
	for _, e := range o.enum {
		all = append(all, e)
		var n float64
		if json.Unmarshal([]byte(e), &n) == nil {
			all = append(all, n)
		}
	}
	if o.auto != "" {
		all = append(all, o.auto)
	}
	return object{"anyOf": []any{object{"enum": all}, object{"$ref": "#/$defs/variable"}}}
}

func (o *option) numberSchema(variable object) []any {
	all := []any{variable}
	if o.auto != "" {
		all = append(all, object{"const": o.auto})
	}
	switch o.kind {
	case size:
		return append(all, object{"$ref": "#/$defs/size"})
	case duration:
		return append(all, object{"$ref": "#/$defs/duration"})
	}
	n := object{"type": "integer"}
	if o.bounds[0] != "" {
		n["minimum"] = o.min
	}
	if o.bounds[1] != "" {
		n["maximum"] = o.max
	}
	all = append(all, n)
	if o.zero != "" {
		all = append(all, object{"const": 0})
	}
	return all
}

// defaultJSON is the default as a value of JSON.
func (o *option) defaultJSON() any {
	if o.auto != "" && o.text == o.auto {
		return o.text
	}
	v := reflect.New(o.typ).Elem()
	o.setDefault(v)
	switch o.kind {
	case boolean, words, count:
		return v.Interface()
	}
	return o.text
}
