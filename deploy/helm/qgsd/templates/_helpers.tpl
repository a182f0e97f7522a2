{{- define "qgsd.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "qgsd.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "qgsd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "qgsd.selector" . }}
{{- end -}}

{{- define "qgsd.secret" -}}
{{- .Values.secret.existing | default (include "qgsd.name" .) -}}
{{- end -}}

{{- /* The headless Service by whose name workers find all proxies. */ -}}
{{- define "qgsd.queue" -}}
{{- printf "%s-queue" (include "qgsd.name" .) -}}
{{- end -}}

{{- define "qgsd.rootdir" -}}
{{- ternary "/srv/maps" "/opt/qgsd/share/qgsd/examples/world" (ne .Values.projects.claim "") -}}
{{- end -}}

{{- /* qgsd.ini by section: what the chart sets, and what values add. */ -}}
{{- define "qgsd.config" -}}
{{- $own := dict
  "server" (dict "port" 8080 "workers" .Values.worker.processes "jobs" .Values.proxy.jobs)
  "cache" (dict "rootdir" (include "qgsd.rootdir" .))
  "zmq" (dict "bindaddr" "tcp://*:18080" "key_file" "/etc/qgsd/secret/cluster.key")
  "management" (dict "enabled" "yes" "interfaces" "0.0.0.0" "port" 19876 "token_file" "/etc/qgsd/secret/management.token")
  "supervision" (dict "stop_timeout" .Values.drain.stopTimeout)
-}}
{{- range $section, $options := .Values.config -}}
{{- range $key, $value := $options -}}
{{- if hasKey (get $own $section | default dict) $key -}}
{{- fail (printf "config.%s.%s is set by the chart itself; look for its own value in values.yaml" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $section, $options := merge (deepCopy .Values.config) $own }}
[{{ $section }}]
{{- range $key, $value := $options }}
{{ $key }}={{ $value }}
{{- end }}
{{ end -}}
{{- end -}}

{{- /* Of the pods of both Deployments: everything but containers. */ -}}
{{- define "qgsd.pod" -}}
{{- $part := get .Values .part -}}
enableServiceLinks: false
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ add .Values.drain.preStop .Values.drain.stopTimeout 10 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $part.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $part.affinity }}
affinity: {{ toJson . }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "qgsd.selector" . | nindent 8 }}
        app.kubernetes.io/component: {{ .part }}
volumes:
  - name: config
    configMap:
      name: {{ include "qgsd.name" . }}
  - name: secret
    secret:
      secretName: {{ include "qgsd.secret" . }}
      # qgsd refuses a key that everybody could read; the group is that of fsGroup.
      defaultMode: 0440
  - name: run
    emptyDir:
      sizeLimit: {{ $part.scratch }}
  - name: home
    emptyDir: {}
  - name: tmp
    emptyDir: {}
{{- if .Values.projects.claim }}
  - name: projects
    persistentVolumeClaim:
      claimName: {{ .Values.projects.claim }}
      readOnly: true
{{- end }}
{{- end -}}

{{- /* Of the container in each of them: everything but its arguments, ports and probes. */ -}}
{{- define "qgsd.container" -}}
{{- $part := get .Values .part -}}
name: qgsd
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources: {{ toJson $part.resources }}
# The master answers at the management port, whatever the load on the service port.
startupProbe:
  httpGet: {path: /livez, port: management}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: management}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{- define "qgsd.mounts" -}}
- {name: config, mountPath: /etc/qgsd/qgsd.ini, subPath: qgsd.ini, readOnly: true}
- {name: secret, mountPath: /etc/qgsd/secret, readOnly: true}
- {name: run, mountPath: /run/qgsd}
- {name: home, mountPath: /var/lib/qgsd}
- {name: tmp, mountPath: /tmp}
{{- if .Values.projects.claim }}
- name: projects
  mountPath: /srv/maps
  readOnly: true
  {{- with .Values.projects.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}
