# docker build --tag mailrobin .

FROM rust:1-bookworm AS builder
WORKDIR /mailrobin
# The dependencies alone, in a layer that stays until they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir benches src \
    && sed -n '/^\[\[bench\]\]/{n;s|name = "\(.*\)"|benches/\1.rs|p}' Cargo.toml | xargs touch src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --locked --profile dist \
    && rm -r src
COPY docs/codes.md docs/
COPY migrations migrations
COPY src src
# Cargo goes by time, and the empty sources are younger than those of the checkout.
RUN touch src/lib.rs src/main.rs && cargo build --locked --profile dist --bin mailrobin

FROM debian:bookworm-slim AS authorities
RUN apt-get update && apt-get install -qq --no-install-recommends ca-certificates

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="mailrobin" \
    org.opencontainers.image.description="Proves that mail really gets through: tagged test messages sent by SMTP, collected by IMAP or POP3, timed and judged" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="0.1.0"
COPY --from=authorities /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# For the signing key and the history.
RUN install -d -o 65532 -g 65532 -m 700 /var/lib/mailrobin
COPY --from=builder /mailrobin/target/dist/mailrobin /usr/local/bin/
ENV STATE_DIRECTORY=/var/lib/mailrobin
USER 65532:65532
ENTRYPOINT ["mailrobin"]
