#!/bin/sh
# A compiler for cargo's RUSTC_WORKSPACE_WRAPPER: links the program statically, with the C library. Cargo hands it only the
# crates of this workspace, so that dependencies are those of every other build.
rustc=$1
shift
case " $* " in
    *" --crate-name multiregion "*" --crate-type bin "*) exec "$rustc" "$@" -C target-feature=+crt-static ;;
    *) exec "$rustc" "$@" ;;
esac
