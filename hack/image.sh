#!/usr/bin/env bash
# Builds the image of the operator with buildah, from a program that is linked statically.
#
#   hack/image.sh [--debug] NAME[:TAG]     as in registry.example.com/multiregion:0.1.0; then: buildah push NAME:TAG
#   hack/image.sh --check                  of a debug build, under a name of its own, which is removed again; for the tests
#
# Exit status 77, after a line that says why, where no image can be built here.
set -euo pipefail
cd "$(dirname "$0")/.."

check=0 profile=release
case ${1:-} in
    --check) check=1 profile=debug name=localhost/multiregion-check ;;
    --debug) profile=debug name=${2:?usage: hack/image.sh [--debug] NAME[:TAG]} ;;
    *) name=${1:?usage: hack/image.sh [--debug] NAME[:TAG]} ;;
esac

skip() {
    printf 'SKIPPED: no image is built: %s\n' "$1"
    exit 77
}
[ "$(uname -s)" = Linux ] || skip "the program has to be one for Linux, and this is $(uname -s)"
command -v buildah >/dev/null || skip "there is no buildah (on Debian and Ubuntu: apt-get install buildah)"
# As another user than root it needs a user namespace.
[ "$(id -u)" = 0 ] || reason=$(buildah unshare true 2>&1) || skip "user namespaces are forbidden here: $reason"

context=${CARGO_TARGET_DIR:-target}/image/$profile
mkdir -p "$context"
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ -s "$certificates" ] || skip "there are no CA certificates at $certificates (apt-get install ca-certificates, or set SSL_CERT_FILE)"
[ "$check" = 0 ] || command -v openssl >/dev/null || skip "there is no openssl, which makes the certificate of the check's server"

# No processes run in the build, so nothing has to be isolated, and vfs needs no mounts.
storage=()
if [ "$check" = 1 ]; then
    storage=(--root "$context/storage" --runroot "$context/run" --storage-driver vfs)
    trap 'buildah "${storage[@]}" rmi --all --force >/dev/null 2>&1 || true; rm -rf "$context/storage" "$context/run" "$context/root" || true' EXIT
fi

# Root of a container may be forbidden what buildah needs, and nothing tells but a trial: a program that does nothing, in an image
# of its own; where the image is to be checked, it is run, too.
trial() {
    local container status=0
    printf 'int main(void) { return 0; }' | cc -static -x c -o "$context/trial" - || return
    container=$(buildah "${storage[@]}" from scratch) || return
    buildah "${storage[@]}" copy --quiet "$container" "$context/trial" /trial >/dev/null || status=$?
    if [ "$check" = 1 ] && [ "$status" = 0 ]; then
        buildah "${storage[@]}" run --isolation chroot "$container" -- /trial || status=$?
    fi
    buildah "${storage[@]}" rm "$container" >/dev/null || status=$?
    rm -f "$context/trial"
    return "$status"
}
reason=$(trial 2>&1) || skip "a trial of buildah fails here: $(tr '\n' ' ' <<<"$reason")"

flags=()
[ "$profile" = debug ] || flags+=(--release)
RUSTC_WORKSPACE_WRAPPER=$PWD/hack/static.sh cargo build --workspace --bin multiregion "${flags[@]}"
cp "${CARGO_TARGET_DIR:-target}/$profile/multiregion" "$context/multiregion"
cp "$certificates" "$context/ca-certificates.crt"

if file=$(readelf --program-headers "$context/multiregion" 2>/dev/null) && grep -q INTERP <<<"$file"; then
    echo "the program is not linked statically: it would not start without the C library" >&2
    exit 1
fi

buildah "${storage[@]}" build --isolation chroot --file Containerfile --tag "$name" "$context"
printf 'program: %s bytes\n' "$(stat -c %s "$context/multiregion")"
printf 'image:   %s\n' "$(buildah "${storage[@]}" images --noheading --format '{{.Size}}' "$name")"

[ "$check" = 1 ] || exit 0

# What is in it is enough to start, and to reach AWS: the program in a root of its own, as the user of the image.
container=$(buildah "${storage[@]}" from "$name")
buildah "${storage[@]}" run --isolation chroot "$container" -- /multiregion --version
buildah "${storage[@]}" rm "$container" >/dev/null
"$(hack/check-tools.sh --python)" hack/image-check.py "$name" buildah "${storage[@]}"
