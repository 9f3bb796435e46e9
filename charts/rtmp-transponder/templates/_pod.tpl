{{/* What the pods have in common. Each helper takes a dict of root, component and values (those of the component). */}}

{{/* Security context of a pod, as the `restricted` Pod Security Standard wants it. */}}
{{- define "transponder.podSecurity" -}}
{{- /* The first process of a namespace is deaf to SIGTERM until it has set a handler: one that is told to end while it
       starts would stay for the whole grace period, which is an hour. So the container's is not the first. */ -}}
shareProcessNamespace: true
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- if .root.Values.userNamespaces }}
hostUsers: false
{{- end }}
{{- end -}}

{{- define "transponder.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where a pod may run. */}}
{{- define "transponder.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 1
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "transponder.selector" . | nindent 14 }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "transponder.selector" . | fromYaml)) }}
  {{- range .values.topologySpreadConstraints }}
  {{- list (merge (dict) . $own) | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "transponder.logEnv" -}}
- name: TRANSPONDER_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: TRANSPONDER_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- end -}}

{{/* What transponders get that do not say otherwise: for API and operator alike. */}}
{{- define "transponder.defaultsEnv" -}}
{{- with .Values.defaults -}}
- name: TRANSPONDER_DEFAULTS__STREAM_NAME_PREFIX
  value: {{ .streamNamePrefix | quote }}
- name: TRANSPONDER_DEFAULTS__FULL_URL
  value: {{ .fullUrl | quote }}
{{- if .flashVersion }}
- name: TRANSPONDER_DEFAULTS__FLASH_VERSION
  value: {{ .flashVersion | quote }}
{{- end }}
- name: TRANSPONDER_DEFAULTS__AUDIO_CODEC
  value: {{ .audioCodec }}
- name: TRANSPONDER_DEFAULTS__AUDIO_BITRATE
  value: {{ .audioBitrate | int64 | quote }}
- name: TRANSPONDER_DEFAULTS__KEYFRAME_INTERVAL
  value: {{ .keyframeInterval | toString | quote }}
- name: TRANSPONDER_DEFAULTS__ENHANCED_RTMP
  value: {{ .enhancedRtmp | quote }}
- name: TRANSPONDER_DEFAULTS__HOLD_SECONDS
  value: {{ .holdSeconds | toString | quote }}
- name: TRANSPONDER_DEFAULTS__RECONNECT__INITIAL_SECONDS
  value: {{ .reconnect.initialSeconds | toString | quote }}
- name: TRANSPONDER_DEFAULTS__RECONNECT__MAX_SECONDS
  value: {{ .reconnect.maxSeconds | toString | quote }}
- name: TRANSPONDER_DEFAULTS__RECONNECT__MAX_ATTEMPTS
  value: {{ .reconnect.maxAttempts | int64 | quote }}
{{- end }}
{{- end -}}

{{- define "transponder.soundsVolume" -}}
- name: sounds
{{- with .Values.sounds }}
{{- if .configMap }}
  configMap:
    name: {{ .configMap }}
{{- else if .persistentVolumeClaim }}
  persistentVolumeClaim:
    claimName: {{ .persistentVolumeClaim }}
    readOnly: true
{{- else }}
  {{- toYaml .volume | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* For annotations of pods that read a file only at their start: it changes with the file. */}}
{{- define "transponder.checksum" -}}
{{- . | sha256sum | trunc 16 -}}
{{- end -}}

{{- define "transponder.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  initialDelaySeconds: 1
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: {{ .readySeconds | default 5 }}
  timeoutSeconds: 2
  failureThreshold: {{ .readyFailures | default 2 }}
{{- end -}}
