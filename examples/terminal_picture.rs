//! Turns coloured terminal output on standard input into an SVG picture on standard output: `docs/picture` uses it.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let picture = anstyle_svg::Term::new().min_width_px(760).render_svg(&text);
    io::stdout().write_all(picture.as_bytes())
}
