# The image: the binary, the example plugins, and what the base brings (glibc, CA roots). No shell, no root.
#
#   docker build --tag hookfast .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag hookfast .
#
# Nothing here depends on the architecture; a platform that is not the machine's own is built in emulation, which takes an hour
# where a native build takes ten minutes.

FROM docker.io/library/rust:1.95-bookworm AS build
# The plugins' target. Already there in a base image that brings it.
RUN rustup target add wasm32-wasip2
WORKDIR /src
COPY . .
ARG TARGETARCH
# What cargo downloads and compiles stays in caches of the builder, so that a change costs what it changes. The names of functions
# stay in the binary: 9 MB that make a crash's backtrace and a profile readable where it runs.
RUN --mount=type=cache,id=hookfast-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=hookfast-target-$TARGETARCH,target=/src/target,sharing=locked \
    --mount=type=cache,id=hookfast-plugins-$TARGETARCH,target=/src/plugins/target,sharing=locked \
    cargo build --release --locked --package hookfast \
    && target/release/hookfast plugin build plugins --out /image/plugins \
    && install -D target/release/hookfast /image/hookfast \
    && install -d /image/data

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Hookfast" \
      org.opencontainers.image.description="Receives webhooks, proves who sent them, stores them before it answers, runs WebAssembly handlers until they succeed" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/hookfast /hookfast
COPY --chmod=0644 packaging/image/hookfast.toml /etc/hookfast/hookfast.toml
# The user of the base image; by number, so that Kubernetes' runAsNonRoot can tell. A new named volume takes over owner and
# content of these folders; a folder of the host that is mounted here must belong to 65532.
COPY --from=build --chown=65532:65532 /image/data /data
COPY --from=build --chown=65532:65532 /image/plugins /plugins
USER 65532:65532
# Where every command finds hookfast.toml without being told.
WORKDIR /etc/hookfast
# It runs on this base, and understands its configuration.
RUN ["/hookfast", "check"]
VOLUME ["/data", "/plugins"]
# The admin listener, 8081, is the container's own: `docker exec CONTAINER /hookfast …`.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/hookfast", "health"]
ENTRYPOINT ["/hookfast"]
CMD ["serve"]
