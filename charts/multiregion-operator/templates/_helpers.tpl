{{- define "multiregion.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "multiregion.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "multiregion.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "multiregion.selectorLabels" -}}
app.kubernetes.io/name: multiregion
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "multiregion.labels" -}}
{{ include "multiregion.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A digest is exact, so it wins over a tag. */}}
{{- define "multiregion.image" -}}
{{- $why := "image.repository is needed: no image is published. Build one with hack/image.sh, push it to your registry, and name it here." -}}
{{- $repository := required $why .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A cluster has one operator for all namespaces, so these share a lease however they were installed. */}}
{{- define "multiregion.lease" -}}
{{- $default := ternary (include "multiregion.name" .) "multiregion-controller" (not (empty .Values.watchNamespaces)) -}}
{{- .Values.leaderElection.leaseName | default $default -}}
{{- end -}}

{{- define "multiregion.metadata" -}}
name: {{ include "multiregion.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "multiregion.labels" . | nindent 2 }}
{{- end -}}

{{/* What no schema can say as clearly; included once, by the deployment. */}}
{{- define "multiregion.check" -}}
{{- if and .Values.watchNamespaces (not .Values.settings.clusterId) -}}
{{- fail "settings.clusterId is needed with watchNamespaces: it is part of the owner of every AWS resource, and by default the uid of the namespace kube-system, which an operator with a Role in some namespaces alone may not read. Take any text that no other cluster has, or that uid: kubectl get namespace kube-system -o jsonpath={.metadata.uid}" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) -}}
{{- fail "replicas above 1 need leaderElection.enabled: several would change the same AWS resources at once" -}}
{{- end -}}
{{- if and (gt (int .Values.sharding.shards) 1) (not .Values.leaderElection.enabled) -}}
{{- fail "sharding.shards above 1 needs leaderElection.enabled: each shard has a lease" -}}
{{- end -}}
{{- $known := include "multiregion.flags" . | fromYaml -}}
{{- if and .Values.accounts (not $known.config) -}}
{{- fail "accounts are not known to this version of the operator: it would act as its own identity for all" -}}
{{- end -}}
{{- if and .Values.web.enabled (not $known.web) -}}
{{- fail "web.enabled is not known to this version of the operator" -}}
{{- end -}}
{{- end -}}
