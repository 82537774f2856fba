//! What results look like, and the files they are kept in.

#![expect(
    clippy::disallowed_methods,
    reason = "reports are opened before anything is tested, and written after it"
)]

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use clap::ValueEnum;
use tempfile::NamedTempFile;

use crate::config::diagnostic::suggest;
use crate::probe::record::Document;
use crate::report::{github, human, json, junit, markdown, nagios, shown, tap};

/// What a result looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// The result document
    Json,
    /// JUnit XML, for CI servers
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
    /// Output of a monitoring plugin
    Nagios,
    /// Tables, for job summaries
    Markdown,
    /// Annotations of GitHub Actions
    Github,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Tap => "tap",
            Self::Nagios => "nagios",
            Self::Markdown => "markdown",
            Self::Github => "github",
        }
    }

    /// Writes the document, in colours where the format has them; `width` is that of the terminal, if it is one.
    pub(super) fn write(
        self,
        document: &Document,
        width: Option<usize>,
        mut out: impl Write,
    ) -> io::Result<()> {
        let fit = || shown(document);
        let text = match self {
            // For programs, which take every character.
            Self::Json => return json::write(document, io::BufWriter::new(out)),
            Self::Junit => {
                let mut out = io::BufWriter::new(out);
                junit::write(&fit()?, &mut out)?;
                return out.flush();
            }
            Self::Human => human::render(&fit()?, width),
            Self::Tap => tap::render(&fit()?),
            Self::Nagios => nagios::render(&fit()?),
            Self::Markdown => markdown::render(&fit()?),
            Self::Github => github::render(&fit()?),
        };
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// A report that is asked for: `FORMAT=FILE`.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    format: Format,
    path: PathBuf,
}

/// Reads `FORMAT=FILE`.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    let Some((format, path)) = text.split_once('=') else {
        return Err("write FORMAT=FILE, such as junit=report.xml".to_owned());
    };
    let formats = Format::value_variants();
    let format = formats
        .iter()
        .find(|known| known.as_str() == format)
        .ok_or_else(|| {
            let known = formats.iter().map(|format| format.as_str());
            format!("there is no format {format:?}: {}", suggest(format, known))
        })?;
    match path {
        "" => Err(format!("a file is missing behind {text}")),
        "-" => Err("--format is what goes to standard output; --report needs a file".to_owned()),
        path => Ok(Wanted {
            format: *format,
            path: path.into(),
        }),
    }
}

/// The report files of a run: each is proved writable, and an older one is gone, before anything is sent.
#[derive(Debug)]
pub(super) struct Reports(Vec<Opened>);

/// A report file that will stand in its place whole, or not at all.
#[derive(Debug)]
struct Opened {
    wanted: Wanted,
    /// Where it will stand, links followed.
    place: PathBuf,
    temporary: NamedTempFile,
}

impl Reports {
    /// Opens a file beside each of the wanted ones, then removes older ones: whatever becomes of this run, they are not
    /// its reports.
    pub(super) fn open(wanted: &[Wanted]) -> Result<Self> {
        let mut opened: Vec<Opened> = Vec::new();
        for wanted in wanted {
            let report = Opened::open(wanted).with_context(|| wanted.cannot("be written"))?;
            if opened.iter().any(|other| other.place == report.place) {
                bail!(
                    "--report names {} twice: each report needs a file of its own",
                    wanted.path.display()
                );
            }
            opened.push(report);
        }
        for report in &opened {
            match fs::remove_file(&report.place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| report.wanted.cannot("take the place of the older file"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(Self(opened))
    }

    /// Writes every one of them; what went wrong with which.
    pub(super) fn write(self, document: &Document) -> Vec<Error> {
        self.0
            .into_iter()
            .filter_map(|report| {
                let cannot = report.wanted.cannot("be written");
                report.write(document).with_context(|| cannot).err()
            })
            .collect()
    }
}

impl Wanted {
    fn cannot(&self, what: &str) -> String {
        format!(
            "the {} report {} cannot {what}",
            self.format.as_str(),
            self.path.display()
        )
    }
}

impl Opened {
    fn open(wanted: &Wanted) -> Result<Self> {
        let place = place(&wanted.path)?;
        let folder = place.parent().context("it is no file")?;
        let temporary = tempfile::Builder::new()
            .prefix(".mailrobin-")
            // Less what the umask takes, as with any other file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(Self {
            wanted: wanted.clone(),
            place,
            temporary,
        })
    }

    fn write(self, document: &Document) -> io::Result<()> {
        let Self {
            wanted,
            place,
            mut temporary,
        } = self;
        let file = temporary.as_file_mut();
        match wanted.format {
            // Colours are for terminals.
            Format::Human => {
                let text = human::render(&shown(document)?, None);
                write!(file, "{}", anstream::adapter::strip_str(&text))?;
            }
            Format::Json
            | Format::Junit
            | Format::Tap
            | Format::Nagios
            | Format::Markdown
            | Format::Github => wanted.format.write(document, None, &mut *file)?,
        }
        file.sync_all()?;
        temporary.persist(place)?;
        Ok(())
    }
}

/// Where a file of this path stands or would stand. What is there and is no file is left alone: a device or a pipe must not
/// be replaced.
fn place(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().context("it is no file")?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (path.symlink_metadata(), path.canonicalize()) {
        (Ok(_), Ok(place)) => {
            if !place.is_file() {
                bail!("what stands there is no regular file");
            }
            Ok(place)
        }
        // A link whose target an earlier run has removed.
        (Ok(link), Err(error)) if link.is_symlink() && error.kind() == io::ErrorKind::NotFound => {
            place(&folder.join(path.read_link()?))
        }
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(_), _) => {
            let folder = folder
                .canonicalize()
                .with_context(|| format!("the folder {}", folder.display()))?;
            Ok(folder.join(name))
        }
    }
}
