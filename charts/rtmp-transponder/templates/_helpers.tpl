{{/* Names, labels and images. Each helper takes the root context, or a dict of root and component. */}}

{{- define "transponder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "transponder.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "transponder.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component; it never changes. Relays are found by the programs under this name. */}}
{{- define "transponder.selector" -}}
app.kubernetes.io/name: rtmp-transponder
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "transponder.labels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "transponder.selector" . }}
app.kubernetes.io/part-of: rtmp-transponder
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of a pod: as above, without those that change with every version. */}}
{{- define "transponder.podLabels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{- with .values.podLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "transponder.selector" . }}
app.kubernetes.io/part-of: rtmp-transponder
{{- end -}}

{{/* Metadata of an object of the release: dict of root, component, name, and perhaps namespace, annotations, labels. */}}
{{- define "transponder.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels:
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "transponder.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "transponder.image" -}}
{{- $image := .values.image -}}
{{- $name := ternary $image.repository (printf "%s/%s" .root.Values.image.registry $image.repository) (empty .root.Values.image.registry) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (coalesce $image.tag .root.Values.image.tag .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "transponder.serviceAccountName" -}}
{{- $account := .values.serviceAccount -}}
{{- if $account.name -}}
{{- $account.name -}}
{{- else if $account.create -}}
{{- printf "%s-%s" (include "transponder.fullname" .root) .component -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* All namespaces are watched: "true" or nothing. */}}
{{- define "transponder.everywhere" -}}
{{- if has "*" .Values.watchNamespaces }}true{{ end -}}
{{- end -}}

{{/* The namespaces of relays that are known by name, as a JSON object {"list": […]}. */}}
{{- define "transponder.relayNamespaces" -}}
{{- $known := without .Values.watchNamespaces "*" -}}
{{- if or (empty $known) (include "transponder.everywhere" .) -}}
{{- $known = list .Release.Namespace -}}
{{- end -}}
{{- dict "list" ($known | uniq) | toJson -}}
{{- end -}}

{{/* The namespace whose objects the API serves. */}}
{{- define "transponder.apiNamespace" -}}
{{- $first := first (get (include "transponder.relayNamespaces" . | fromJson) "list") -}}
{{- default $first .Values.api.namespace -}}
{{- end -}}

{{- define "transponder.controlKeySecret" -}}
{{ include "transponder.fullname" . }}-control-key
{{- end -}}

{{- define "transponder.tokenSecret" -}}
{{- .Values.api.auth.existingSecret | default (printf "%s-token" (include "transponder.fullname" .)) -}}
{{- end -}}

{{- define "transponder.hasToken" -}}
{{- if or .Values.api.auth.existingSecret .Values.api.auth.token }}true{{ end -}}
{{- end -}}

{{/* The relays' media mode in the operator's words: TURN needs nothing of the pods. */}}
{{- define "transponder.mediaMode" -}}
{{- ternary "podNetwork" .Values.media.mode (eq .Values.media.mode "turn") -}}
{{- end -}}

{{- define "transponder.hasSounds" -}}
{{- if or .Values.sounds.configMap .Values.sounds.persistentVolumeClaim .Values.sounds.volume }}true{{ end -}}
{{- end -}}
