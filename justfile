# Lists the commands.
default:
    @just --list

# Checks format, lints, spelling and documentation.
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    typos
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

# Runs the tests that need no mail servers; arguments go to cargo test.
test *args:
    cargo test --locked {{ args }}

# Runs all tests, with the mail servers where they can be installed.
test-all *args:
    tests/run {{ args }}

# Writes expected output and schemas anew.
expect:
    UPDATE_EXPECT=1 cargo test --locked --test cli
    UPDATE_EXPECT=1 cargo test --locked --test api

# Shows what mailrobin does.
demo:
    cargo run --locked --quiet -- demo

# Soaks the service for a while, such as `just soak 1h`.
soak time="10m":
    MAILROBIN_SOAK={{ time }} cargo test --locked --release --test service -- soak:: --nocapture

# Runs one benchmark, such as `just bench recognition`.
bench name:
    cargo bench --locked --bench {{ name }}

# Runs what must pass before a change lands.
ci:
    .ci/run
