//! Stands in for the config's own renderer until that is there.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use crate::probe::notice::Notice;

/// What the template makes of the notice; what it names and the notice does not have is an error.
pub(super) fn render(template: &str, notice: &Notice) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .render_str(template, Serde(notice))
        .map_err(|error| error.to_string())
}
