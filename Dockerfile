# The image has the program and the CA certificates, and runs as nobody. There is
# no shell in it and so no HEALTHCHECK: ask /healthz and /readyz from outside.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -o /out/changebank . && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/changebank /changebank
# A volume mounted here takes its owner over.
COPY --from=build --chown=nonroot:nonroot /out/data /data
ENV DATA_DIR=/data
EXPOSE 5000
ENTRYPOINT ["/changebank"]
