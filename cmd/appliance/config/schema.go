package config

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/fsva/fsva/internal/strictyaml"
)

// Schema describes the file in JSON Schema (draft 2020-12), as a value for
// encoding/json. It is made from the struct that the file is read into, so
// that the two cannot differ.
func Schema() any {
	s := schemaOf(reflect.TypeFor[Config](), "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of the file system appliance"
	return s
}

func schemaOf(t reflect.Type, tag reflect.StructTag) map[string]any {
	s := make(map[string]any)
	if doc := tag.Get("doc"); doc != "" {
		s["description"] = doc
	}
	if def := tag.Get("default"); def != "" {
		s["default"] = def
	}
	switch {
	case t == reflect.TypeFor[Duration]():
		s["type"] = "string"
		s["pattern"] = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	case t == reflect.TypeFor[Export]():
		schemaOfStruct(s, t)
		text := map[string]any{"type": "string", "description": "The same in one text, as after --export: NAME=URL,OPTION,…"}
		s = map[string]any{"anyOf": []any{s, text}}
	case t.Kind() == reflect.Struct:
		schemaOfStruct(s, t)
	case t.Kind() == reflect.Slice:
		s["type"] = "array"
		s["items"] = schemaOf(t.Elem(), "")
	case t.Kind() == reflect.Pointer:
		s = schemaOf(t.Elem(), tag)
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Uint32:
		s["type"], s["minimum"], s["maximum"] = "integer", 0, uint32(1<<32-2)
		if def := tag.Get("default"); def != "" {
			s["default"] = json.Number(def)
		}
	default:
		s["type"] = "string"
		if enum := tag.Get("enum"); enum != "" {
			s["enum"] = strings.Split(enum, ",")
		}
	}
	return s
}

func schemaOfStruct(s map[string]any, t reflect.Type) {
	properties := make(map[string]any)
	var required []string
	for _, f := range strictyaml.Keys(t) {
		properties[f.Key] = schemaOf(f.Type, f.Tag)
		if f.Tag.Get("required") != "" {
			required = append(required, f.Key)
		}
	}
	s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	if len(required) > 0 {
		s["required"] = required
	}
}
