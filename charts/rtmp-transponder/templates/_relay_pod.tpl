{{/* The pod of a relay. The operator adds its name, owners, token and ports, which stream it serves, and, while it serves
     one, the annotations that keep autoscalers from removing its node. */}}
{{- define "transponder.relayPod" -}}
{{- $relay := dict "root" . "component" "relay" "values" .Values.relay -}}
{{- $hostNetwork := eq .Values.media.mode "hostNetwork" -}}
metadata:
  labels:
    {{- include "transponder.podLabels" $relay | nindent 4 }}
    app.kubernetes.io/managed-by: rtmp-transponder
    # media is UDP, and the control port has its own authentication: a mesh proxy would only be in the way
    sidecar.istio.io/inject: "false"
    istio.io/dataplane-mode: none
    kuma.io/sidecar-injection: disabled
  annotations:
    sidecar.istio.io/inject: "false"
    linkerd.io/inject: disabled
    consul.hashicorp.com/connect-inject: "false"
    {{- with .Values.relay.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ ternary "default" (include "transponder.serviceAccountName" $relay) (not (empty (include "transponder.everywhere" .))) }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- /* 30 s for RTMP sessions to be closed in order */}}
  terminationGracePeriodSeconds: {{ add .Values.relay.drainSeconds 30 }}
  {{- if $hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- with .Values.relay.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.relay.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "transponder.podSecurity" $relay | nindent 2 }}
  {{- include "transponder.scheduling" $relay | nindent 2 }}
  containers:
    - name: relay
      image: {{ include "transponder.image" $relay | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "transponder.containerSecurity" $relay | nindent 6 }}
      env:
        - name: TRANSPONDER_MAX_BITRATE
          value: {{ .Values.relay.maxBitrate | int64 | quote }}
        - name: TRANSPONDER_DRAIN_SECONDS
          value: {{ .Values.relay.drainSeconds | int64 | quote }}
        {{- if and .Values.media.portRange (eq (include "transponder.mediaMode" .) "podNetwork") }}
        - name: TRANSPONDER_MEDIA_PORT_RANGE
          value: {{ .Values.media.portRange | quote }}
        {{- end }}
        {{- if eq .Values.media.mode "hostPort" }}
        # what browsers are told is the node's address, never the pod's own
        - name: TRANSPONDER_MEDIA_NAT
          value: "true"
        {{- end }}
        {{- if .Values.serviceMonitor.enabled }}
        # a monitor cannot know the token of each relay; metrics hold no names, addresses or keys
        - name: TRANSPONDER_OPEN_METRICS
          value: "true"
        {{- end }}
        {{- if include "transponder.hasSounds" . }}
        - name: TRANSPONDER_SOUNDS_FOLDER
          value: /sounds
        {{- end }}
        {{- if .Values.rtmps.caConfigMap }}
        - name: TRANSPONDER_RTMPS_CA_FILE
          value: /etc/transponder/ca/ca.crt
        {{- end }}
        {{- include "transponder.logEnv" . | nindent 8 }}
        {{- with .Values.relay.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {name: control, containerPort: 9090}
      {{- include "transponder.probes" (dict "port" "control" "readySeconds" 1 "readyFailures" 3) | nindent 6 }}
      resources:
        {{- toYaml .Values.relay.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if include "transponder.hasSounds" . }}
        - {name: sounds, mountPath: /sounds, readOnly: true}
        {{- end }}
        {{- if .Values.rtmps.caConfigMap }}
        - {name: rtmps-ca, mountPath: /etc/transponder/ca, readOnly: true}
        {{- end }}
        {{- with .Values.relay.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if include "transponder.hasSounds" . }}
    {{- include "transponder.soundsVolume" . | nindent 4 }}
    {{- end }}
    {{- if .Values.rtmps.caConfigMap }}
    - name: rtmps-ca
      configMap:
        name: {{ .Values.rtmps.caConfigMap }}
        items:
          - {key: {{ .Values.rtmps.caKey }}, path: ca.crt}
    {{- end }}
    {{- with .Values.relay.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
