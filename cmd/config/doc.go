//go:build linux

// Package config reads the configuration file of the router: YAML, or JSON, with variables of the environment and
// values of the command line above it. One tree of Go structs, Config, is the truth. From its tags and comments come
// the defaults, the checks of single values, the names of variables, the documentation and the schema for editors.
//
// Load reads a file in these steps and reports all problems at once, each with its place and what to do:
//
//  1. parse: the text becomes nodes with positions (document.go). An error of the form ends here.
//  2. addBuiltIn, override: missing sections, BANYAN_ variables and overrides become nodes too (override.go).
//  3. decoder: the nodes fill a Config that has its defaults; names, kinds, words and bounds (decode.go).
//  4. readUsers: users files are read in the same way (load.go).
//  5. checker: rules between values, and files that values name (check*.go).
//
// Callers use Load, Report, Diff, Docs, Schema, Example, EnvNames, and Show and Values of a File. A File does not
// change. Which part of the router takes an option, and what is still to be built for it, is listed in wired_test.go.
package config
