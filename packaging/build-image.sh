#!/usr/bin/env bash
# Builds the image from the Dockerfile on a Debian machine that has neither Docker nor a way to an image registry: buildah builds,
# and the two base images are made here from Debian's packages and the installed Rust. Whoever has Docker needs none of this.
#
#   packaging/build-image.sh [--tag NAME] [--try] [-- OPTION…]
#
#   --tag NAME   what the image is called (hookfast)
#   --try        then runs it once: a signed webhook, its handling, `hookfast health`, SIGTERM
#   OPTION…      goes to `buildah build`: what the build needs to know of this machine, such as
#                --volume "$HOME/.cargo/config.toml:/usr/local/cargo/config.toml:ro"
#
# MIRROR is the Debian mirror for debootstrap; unless set, the first one of apt. STORAGE_DRIVER=vfs where there is no overlay.
# Needs root. The base images are kept; remove them with `buildah rmi` to have them made anew.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=hookfast
tries=false
while (($#)); do
    case $1 in
        --tag) tag=$2 && shift 2 ;;
        --try) tries=true && shift ;;
        --) shift && break ;;
        *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
    esac
done

# The names that the Dockerfile gives them.
mapfile -t bases < <(awk '$1 == "FROM" { print $2 }' Dockerfile)
build_base=${bases[0]} run_base=${bases[1]}
suite=bookworm
export BUILDAH_ISOLATION=chroot

scratch=$(mktemp --directory)
trap 'rm --recursive --force "$scratch"' EXIT
step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS" >&2; }

install_tools() {
    local missing=() tool
    for tool in buildah debootstrap; do command -v "$tool" >/dev/null || missing+=("$tool"); done
    ((${#missing[@]} == 0)) || { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"; }
}

# Commits a folder as a base image: NAME FOLDER CONFIG…
commit_base() {
    local name=$1 folder=$2 container
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder" / >/dev/null
    buildah config "$@" "$container"
    buildah commit --quiet --rm --format docker "$container" "$name" >/dev/null
}

# Debian with a C compiler, and the Rust of this machine where the official image has it.
make_build_base() {
    local root=$scratch/build rust=usr/local/rustup/toolchains toolchain
    # shellcheck disable=SC2016 # apt replaces it
    local mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | sed --quiet 1p)}
    debootstrap --variant=buildd --include=ca-certificates "$suite" "$root" "$mirror" >&2
    toolchain=$(basename "$(rustc --print sysroot)")
    mkdir --parents "$root/$rust/$toolchain" "$root/usr/local/cargo/bin"
    tar --create --directory "$(rustc --print sysroot)" --exclude share/doc . | tar --extract --directory "$root/$rust/$toolchain"
    printf 'version = "12"\ndefault_toolchain = "%s"\n' "$toolchain" >"$root/usr/local/rustup/settings.toml"
    cp --dereference "$(command -v rustup)" "$root/usr/local/cargo/bin/rustup"
    for tool in cargo rustc rustdoc; do ln --symbolic rustup "$root/usr/local/cargo/bin/$tool"; done
    commit_base "$build_base" "$root" --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
        --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

# What the distroless image holds: glibc, the compiler's libraries, CA roots, time zones, a user. No shell.
make_run_base() {
    local root=$scratch/run debs=$scratch/debs deb
    mkdir --parents "$root" "$debs"
    (cd "$debs" && apt-get download --quiet base-files ca-certificates libc6 libgcc-s1 libgomp1 libstdc++6 netbase tzdata)
    for deb in "$debs"/*.deb; do dpkg-deb --extract "$deb" "$root"; done
    (cd "$root" && rm --recursive --force usr/share/{doc,man,locale} usr/bin usr/sbin bin sbin)
    mkdir --parents "$root/etc/ssl/certs"
    find "$root/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$root/etc/ssl/certs/ca-certificates.crt"
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
    commit_base "$run_base" "$root" --user 65532 --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
}

bytes_of() {
    local container
    container=$(buildah from --pull-never "$1")
    du --summarize --bytes "$(buildah mount "$container")" | cut --fields 1
    buildah rm "$container" >/dev/null
}

install_tools
step "base images"
buildah images --quiet "$build_base" >/dev/null 2>&1 || make_build_base
buildah images --quiet "$run_base" >/dev/null 2>&1 || make_run_base

step "image"
# The format of Docker, since the other one knows no health check.
buildah build --format docker --pull-never --tag "$tag" "$@" .

megabytes=$((($(bytes_of "$tag") - $(bytes_of "$run_base")) / 1000000))
echo "$tag holds $megabytes MB beside its base"
((megabytes <= 60)) || { echo "that is more than the 60 MB that it may hold" >&2 && exit 1; }
! $tries || packaging/try-image.sh "$tag"
