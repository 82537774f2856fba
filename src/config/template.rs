//! Templates of what is told: compiled and tried when the config is read, rendered for each notice. A template can
//! neither run on nor make more than [`LONGEST`] bytes.

use std::io::{self, Write};

use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;
use uuid::Uuid;

use super::diagnostic::suggest;
use crate::probe::notice::Notice;

/// Nothing that a template makes is longer, in bytes.
pub const LONGEST: usize = 1 << 20;
/// No template takes more steps.
const FUEL: u64 = 200_000;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What, and in which line of it.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What a template makes of a notice; if it cannot, why, and in which line of it.
pub fn render(template: &str, notice: &Notice) -> Result<String, String> {
    let environment = environment();
    let words = words(notice).map_err(|error| error.to_string())?;
    rendered(&environment, template, &words).map_err(|error| said(&error))
}

/// Tries a template on a notice in which everything is said, and on one that says as little as there can be: what it
/// makes of real ones must not fail when it is needed.
pub fn check(template: &str, content_type: &str) -> Result<(), Wrong> {
    let full = Notice::sample(Uuid::nil(), Timestamp::UNIX_EPOCH, "example");
    try_on(template, content_type, &full, "")?;
    let bare = Notice {
        route: None,
        test: None,
        state: None,
        code: None,
        incident: None,
        probe: None,
        dependents: Vec::new(),
        ..full.clone()
    };
    try_on(template, content_type, &bare, ", in a notice of no route")?;
    let unknown = unknown(template);
    if let Some((name, help)) = unknown {
        return Err(Wrong {
            message: format!("there is no `{name}` in a notice"),
            help: Some(help),
        });
    }
    if !is_json(content_type) {
        return Ok(());
    }
    let quoting = "he said \"no\\yes\"\nand left".to_owned();
    let rough = Notice {
        title: quoting.clone(),
        reason: quoting,
        ..full
    };
    try_on(
        template,
        content_type,
        &rough,
        ", once a text has a quote or a line break in it",
    )
    .map_err(|wrong| Wrong {
        help: Some(
            "a text in JSON is written {{ title | tojson }}, which brings its own quotes".into(),
        ),
        ..wrong
    })
}

/// Whether a media type is JSON.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn try_on(template: &str, content_type: &str, notice: &Notice, when: &str) -> Result<(), Wrong> {
    let environment = environment();
    let words = words(notice).map_err(|error| Wrong {
        message: error.to_string(),
        help: None,
    })?;
    let made = rendered(&environment, template, &words).map_err(|error| {
        let is_undefined = error.kind() == ErrorKind::UndefinedError;
        Wrong {
            message: said(&error) + when,
            help: unknown(template)
                .filter(|_| is_undefined)
                .map(|(_, help)| help),
        }
    })?;
    if is_json(content_type)
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&made)
    {
        return Err(Wrong {
            message: format!("what it makes is not JSON{when}: {error}"),
            help: Some("say what it is in `content_type`, if not JSON".into()),
        });
    }
    Ok(())
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment
}

fn rendered(environment: &Environment<'_>, template: &str, words: &Value) -> Result<String, Error> {
    let mut made = Bounded(Vec::new());
    environment
        .template_from_str(template)?
        .render_captured_to(Serde(words), &mut made)?;
    String::from_utf8(made.0)
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "what it makes is not UTF-8"))
}

/// What a template can name: every field of a notice, also where it is left out of its JSON.
fn words(notice: &Notice) -> serde_json::Result<Value> {
    let mut words = serde_json::to_value(notice)?;
    if let Some(words) = words.as_object_mut() {
        words
            .entry("dependents")
            .or_insert_with(|| Value::Array(Vec::new()));
    }
    Ok(words)
}

/// The first name in a template that no notice has, and what may have been meant.
fn unknown(template: &str) -> Option<(String, String)> {
    let environment = environment();
    let known = words(&Notice::sample(Uuid::nil(), Timestamp::UNIX_EPOCH, "")).ok()?;
    let known = known.as_object()?;
    let globals: Vec<_> = environment.globals().map(|(name, _)| name).collect();
    let named = environment
        .template_from_str(template)
        .ok()?
        .undeclared_variables(false);
    let is_unknown = |name: &String| !known.contains_key(name) && !globals.contains(&name.as_str());
    let unknown = named.into_iter().filter(is_unknown).min()?;
    let help = suggest(&unknown, known.keys().map(String::as_str));
    Some((unknown, help))
}

/// minijinja's words, with the line where it is known.
fn said(error: &Error) -> String {
    if error.kind() == ErrorKind::WriteFailure {
        return format!("it makes more than {LONGEST} bytes");
    }
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain; charset=utf-8";

    fn refused(template: &str, content_type: &str) -> String {
        let wrong = check(template, content_type).unwrap_err();
        format!("{} [{}]", wrong.message, wrong.help.unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let said = [
            refused("{{ title }", TEXT),
            refused("one\n{{ titel }}", TEXT),
            refused("{% if route == 'x' %}{{ rout }}{% endif %}", TEXT),
            refused("{{ title | shout }}", TEXT),
            refused("one\n\n{{ route | length }}", TEXT),
            refused("{% include 'x' %}", TEXT),
            refused(
                "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}",
                TEXT,
            ),
            refused("{% for x in range(99999) %}{{ reason }}{% endfor %}", TEXT),
            refused("{{ title }}", JSON),
            refused("{ \"text\": \"{{ title }}\" }", JSON),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        line 1: syntax error: unexpected `}`, expected end of variable block []
        line 2: undefined value: `titel` is undefined [did you mean `title`?]
        there is no `rout` in a notice [did you mean `route`?]
        line 1: unknown filter: filter shout is unknown []
        line 3: invalid operation: cannot calculate length of value of type none, in a notice of no route []
        line 1: syntax error: unknown statement include []
        line 1: engine ran out of fuel []
        it makes more than 1048576 bytes []
        what it makes is not JSON: expected value at line 1 column 1 [say what it is in `content_type`, if not JSON]
        what it makes is not JSON, once a text has a quote or a line break in it: expected `,` or `}` at line 1 column 21 [a text in JSON is written {{ title | tojson }}, which brings its own quotes]
        ");
    }

    #[test]
    fn every_field_can_be_named_in_every_notice() {
        let template = "{{ event }} {{ severity }} {{ title }} {{ route }} {{ test }} {{ state }} {{ code }} {{ reason }} {{ since }} \
            {{ at }} {{ failures }} {{ number }} {{ incident }} {{ probe }} {{ dependents | join(', ') }} {{ instance }} {{ id }}";
        assert_eq!(check(template, TEXT), Ok(()));
        let slack =
            "{ \"text\": {{ (title ~ ': ' ~ reason) | tojson }}, \"route\": {{ route | tojson }} }";
        assert_eq!(check(slack, "application/json; charset=utf-8"), Ok(()));
    }

    #[test]
    fn nothing_is_escaped_but_what_asks_for_it() {
        let notice = Notice {
            title: "a < \"b\"".into(),
            ..Notice::sample(Uuid::nil(), Timestamp::UNIX_EPOCH, "example")
        };
        assert_eq!(render("{{ title }}", &notice), Ok("a < \"b\"".into()));
        let json = render("{{ title | tojson }}", &notice).unwrap();
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), notice.title);
    }
}
