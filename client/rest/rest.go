// Package rest has a function for every operation of the API, generated from
// api/openapi.yaml. Package client is what most programs want: it repeats what
// is safe to repeat, and gives errors and pages a form that is easy to use.
package rest

//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../../api/openapi.yaml
