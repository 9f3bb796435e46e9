{{/* How relays get their ports and addresses, for the operator, which hands them out. */}}
{{- define "transponder.mediaEnv" -}}
{{- with .Values.media -}}
{{- if and (eq .mode "hostPort") (empty .portRange) -}}
{{- fail "media.portRange: is needed for media.mode hostPort" -}}
{{- end -}}
{{- if and .addresses (not (has .mode (list "hostPort" "hostNetwork"))) -}}
{{- fail "media.addresses: are for media.mode hostPort and hostNetwork" -}}
{{- end -}}
{{- if and $.Values.userNamespaces (eq .mode "hostNetwork") -}}
{{- fail "userNamespaces: cannot be had with media.mode hostNetwork" -}}
{{- end -}}
- name: TRANSPONDER_MEDIA_MODE
  value: {{ include "transponder.mediaMode" $ }}
{{- if .portRange }}
- name: TRANSPONDER_MEDIA_PORT_RANGE
  value: {{ .portRange | quote }}
{{- end }}
{{- if .addresses }}
- name: TRANSPONDER_MEDIA_ADDRESSES
  value: {{ join "," .addresses | quote }}
{{- end }}
{{- if eq .mode "hostPort" }}
- name: TRANSPONDER_PORTS_PER_RELAY
  value: {{ .portsPerRelay | int64 | quote }}
{{- end }}
{{- if eq .mode "hostNetwork" }}
- name: TRANSPONDER_CONTROL_PORT_RANGE
  value: {{ .controlPortRange | quote }}
{{- end }}
{{- end }}
{{- end -}}
