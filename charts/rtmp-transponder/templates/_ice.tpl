{{/* STUN and TURN servers that the API tells browsers of, as JSON; nothing if there are none. */}}
{{- define "transponder.iceServers" -}}
{{- with .Values.media -}}
{{- $servers := list -}}
{{- if .stunUrls -}}
{{- $servers = append $servers (dict "urls" .stunUrls) -}}
{{- end -}}
{{- if eq .mode "turn" -}}
{{- if or (empty .turn.urls) (empty .turn.existingSecret) -}}
{{- fail "media.turn: urls and existingSecret are needed for media.mode turn" -}}
{{- end -}}
{{- $servers = append $servers (dict "urls" .turn.urls "secretFile" "/etc/transponder/turn/secret") -}}
{{- end -}}
{{- if $servers -}}{{ $servers | toJson }}{{- end -}}
{{- end -}}
{{- end -}}
