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
write deploy/rbac.yaml "$multiregion" rbac
write deploy/rbac-web.yaml "$multiregion" rbac --web
write deploy/iam-policy.json "$multiregion" iam-policy
