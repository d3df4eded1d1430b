// Definitions of resources of others that the chart renders, for the tests: the module is downloaded, nothing of it built.
module multiregion.dev/tools/definitions

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
