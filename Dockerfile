# The image contains the program and CA certificates, and runs as an unprivileged
# user. It has no shell for a HEALTHCHECK: check /healthz and /readyz from outside.
# It needs at least ISSUER, CLIENT_ID, CLIENT_SECRET and APP_URL.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
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
ENTRYPOINT ["/changebank"]
