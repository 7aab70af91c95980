// Package wire has the API's types as api/openapi.yaml describes them:
// what goes over the wire, for the server and for clients. It is generated.
package wire

//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../api/openapi.yaml
