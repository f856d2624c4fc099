# All programs of Q and the example in one image: static, without a shell, not as root.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What --version says: docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD).
ARG COMMIT
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X qmq/internal/version.commit=${COMMIT}" -o /out/bin/ ./cmd/... ./examples/... && make install-nsq-names BINDIR=/out/bin && mkdir -m 0700 -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=build /out/bin/ /bin/
# A new volume takes over the owner of the directory that it is mounted on.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV PATH=/bin
EXPOSE 4150 4151 4152 4160 4161 4171
CMD ["qd"]
