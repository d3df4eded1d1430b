#!/usr/bin/env bash
# Writes every generated file below a directory: the repository itself (`make generate`), or an empty one to compare
# with (`make test`). The program must have been built.
set -euo pipefail

out=${1:?usage: hack/generate.sh DIRECTORY}
multiregion=${CARGO_TARGET_DIR:-target}/debug/multiregion

# write FILE COMMAND...: only a command that succeeds replaces the file.
write() {
    local file=$out/$1
    shift
    mkdir -p "$(dirname "$file")"
    "$@" >"$file.new"
    mv "$file.new" "$file"
}

write crds/multiregionapps.multiregion.dev.yaml "$multiregion" crd
write deploy/base/crd.yaml "$multiregion" crd
write deploy/base/rbac.yaml "$multiregion" rbac
write deploy/rbac-web.yaml "$multiregion" rbac --web
write deploy/iam-policy.json "$multiregion" iam-policy
# The whole is at the edge of what one policy may have; its parts fit with any prefix.
for part in regions edge; do
    write "deploy/iam/policy-narrowed-$part.json" "$multiregion" iam-policy --account 123456789012 --prefix 'shop-*' --part "$part"
done
write docs/reference.md "$multiregion" reference

# What the chart carries, as it may not reach outside of its folder.
chart=charts/multiregion-operator/files
write "$chart/crd.yaml" "$multiregion" crd
for file in rules.yaml dashboard.json; do
    if [ -f "deploy/monitoring/$file" ]; then
        write "$chart/$file" cat "deploy/monitoring/$file"
    fi
done

# What kustomize takes: files of its own folder alone, and rules within an object.
prometheus_rule() {
    cat <<'EOF'
# Written by hack/generate.sh from deploy/monitoring/rules.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: multiregion
  namespace: multiregion-system
  labels:
    app.kubernetes.io/name: multiregion
spec:
EOF
    sed 's/^./  &/' deploy/monitoring/rules.yaml
}
component=deploy/components/monitoring
write "$component/prometheusrule.yaml" prometheus_rule
write "$component/dashboard.json" cat deploy/monitoring/dashboard.json
