# The image contains the program and CA certificates, and runs as an unprivileged
# user. It writes nothing but /data, so its file system can be read-only:
#
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v data:/data ...
#
# It needs at least ISSUER, CLIENT_ID, CLIENT_SECRET and APP_URL.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
# Without cgo the program is static: the image below has no libraries.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -o /out/changebank . && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/changebank /changebank
# A new volume mounted here gets the owner of this folder.
COPY --from=build --chown=nonroot:nonroot /out/data /data
ENV DATA_DIR=/data
# Loopback is the container's own. This is every address, of IPv6 as well.
ENV LISTEN=0.0.0.0
EXPOSE 5000
# Whether the process is alive. Whether people can log in is /readyz, for the load
# balancer: a restart does not bring back a provider or a Redis that is away.
HEALTHCHECK --interval=10s --timeout=6s --start-period=40s --retries=3 CMD ["/changebank", "-health"]
ENTRYPOINT ["/changebank"]
