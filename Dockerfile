# gatewayd in a container, for linux/amd64, linux/arm64 and linux/arm/v7:
#
#   docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 -t gatewayd .
#
# It is compiled on the machine's own architecture, for the other: an emulated
# compiler takes half an hour. compose.yaml says how modems come in.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=
RUN apt-get update && apt-get install -y --no-install-recommends \
        gcc-x86-64-linux-gnu libc6-dev-amd64-cross \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
        gcc-arm-linux-gnueabihf libc6-dev-armhf-cross \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    case "$TARGETARCH" in \
        amd64) export CC=x86_64-linux-gnu-gcc ;; \
        arm64) export CC=aarch64-linux-gnu-gcc ;; \
        arm) export CC=arm-linux-gnueabihf-gcc GOARM=7 ;; \
    esac \
    && CGO_ENABLED=1 GOOS=linux GOARCH="$TARGETARCH" \
       CGO_CFLAGS="-O2 -g -DHAVE_FDATASYNC=1 -DSQLITE_DEFAULT_MEMSTATUS=0" \
       go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /gatewayd ./cmd/gatewayd

# Debian and not something smaller: the program needs libc, which looks names up,
# and certificates; and whoever looks for a fault needs a shell.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 990 gatewayd \
    && useradd --system --uid 990 --gid 990 --groups dialout --home-dir /var/lib/gatewayd --shell /usr/sbin/nologin gatewayd \
    && install -d -m 0700 -o gatewayd -g gatewayd /var/lib/gatewayd
COPY --from=build /gatewayd /usr/bin/gatewayd
# The group has the serial ports: 20 in Debian and its relatives. Another host's
# number goes into group_add of compose.yaml.
USER 990:20
VOLUME /var/lib/gatewayd
# Within a container "this machine alone" is the container, so it listens to all
# that is let in; compose.yaml lets in this machine alone.
ENV GATEWAYD_HTTP_LISTEN=0.0.0.0:8080 GATEWAYD_DATA_DIR=/var/lib/gatewayd
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["gatewayd", "ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["gatewayd"]
CMD ["run"]
