#!/usr/bin/env bash
# Everything that has to hold, in one command: what `make test` and CI run. Goes on after a failure as far as that
# makes sense, and names at the end what failed.
set -uo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
failed=()
started=$SECONDS

# section TITLE COMMAND...: runs the command under a heading, and notes how it went and how long it took.
section() {
    local title=$1 begin=$SECONDS
    shift
    printf '\n==> %s\n' "$title"
    if "$@"; then
        printf '==> %s: ok (%d s)\n' "$title" $((SECONDS - begin))
    else
        printf '==> %s: FAILED (%d s)\n' "$title" $((SECONDS - begin))
        failed+=("$title")
        return 1
    fi
}

# Compares what would be generated now with what is there, committed or not.
generated_in_sync() {
    local fresh same=0 file
    fresh=$(mktemp -d) || return 1
    if hack/generate.sh "$fresh"; then
        while IFS= read -r file; do
            diff -u "$file" "$fresh/$file" || same=1
        done < <(cd "$fresh" && find . -type f | sed 's|^\./||' | sort)
        [ "$same" = 0 ] || echo "Run: make generate"
    else
        same=1
    fi
    rm -rf "$fresh"
    return "$same"
}

# An image that cannot be built on this machine is no failure; hack/image.sh says why.
image() {
    local status=0
    hack/image.sh --check || status=$?
    [ "$status" = 77 ] || return "$status"
}

end() {
    printf '\n'
    if [ ${#failed[@]} -eq 0 ]; then
        printf 'All of it holds (%d s).\n' $((SECONDS - started))
        exit 0
    fi
    printf 'FAILED after %d s:\n' $((SECONDS - started))
    printf '  %s\n' "${failed[@]}"
    exit 1
}

section "Tools of this machine" hack/check-tools.sh --test || end
section "promtool" hack/promtool.sh || end
section "Format" cargo fmt --all --check
section "Clippy" cargo clippy --workspace --all-targets -- -D warnings
section "Build" cargo test --workspace --no-run || end
section "Generated files" generated_in_sync
section "Control plane, local AWS and helm" "$target/debug/testbed" setup || end
section "Tests" cargo test --workspace --no-fail-fast
section "Image" image
end
