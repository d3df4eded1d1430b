{{/*
Flags of `run` that the chart passes only if the program knows them: it ends at once on one that it does not. A test compares
this list with `multiregion run --help`.
*/}}
{{- define "multiregion.flags" -}}
config: true
web: true
{{- end -}}

{{/* The arguments that go with them. */}}
{{- define "multiregion.flags.arguments" -}}
{{- if .Values.accounts }}
- --config=/etc/multiregion/config.yaml
{{- end }}
{{- if .Values.web.enabled }}
- --web={{ .Values.settings.listenAddress }}:{{ .Values.web.port }}
{{- end }}
{{- end -}}
