{{/* What the operator is told: also by the hook that runs it at the end. */}}
{{- define "transponder.operatorEnv" -}}
- name: TRANSPONDER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TRANSPONDER_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: TRANSPONDER_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: TRANSPONDER_CONTROL_KEY_SECRET
  value: {{ include "transponder.controlKeySecret" . }}
- name: TRANSPONDER_LEASE_NAME
  value: {{ include "transponder.fullname" . }}-operator
- name: TRANSPONDER_HOST
  value: "0.0.0.0"
- name: TRANSPONDER_PORT
  value: "8080"
- name: TRANSPONDER_RELAY_TEMPLATE
  value: /etc/transponder/relay-pod.yaml
# idle relays are owned by this ConfigMap, and so go with the release
- name: TRANSPONDER_POOL_OWNER
  value: {{ include "transponder.fullname" . }}-relay-template
- name: TRANSPONDER_POOL_SIZE
  value: {{ .Values.relay.poolSize | int64 | quote }}
- name: TRANSPONDER_RESYNC_SECONDS
  value: {{ .Values.operator.resyncSeconds | toString | quote }}
{{- include "transponder.mediaEnv" . | nindent 0 }}
- name: TRANSPONDER_AUTO_START
  value: {{ .Values.autoStart.enabled | quote }}
{{- with .Values.autoStart }}
{{- if .enabled }}
{{- if not .existingSecret }}{{ fail "autoStart.existingSecret: is needed if autoStart.enabled" }}{{ end }}
- name: TRANSPONDER_AUTO_START_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .existingSecretKey }}
{{- end }}
{{- end }}
{{- include "transponder.defaultsEnv" . | nindent 0 }}
{{- include "transponder.logEnv" . | nindent 0 }}
{{- end -}}
