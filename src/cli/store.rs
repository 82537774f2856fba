//! `mailrobin store`: is the history sound, what is in it, and what of it can go?

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Error, Result};
use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{Common, Exit, times};
use crate::clock::Stamp;
use crate::probe::outcome::Verdict;
use crate::report::probes::{ProbeTable, lines};
use crate::store::{Checked, Counts, Opened, Pruned, Reader, Retention, Wanted, Writer};

/// So many probes are read at once.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Say whether the history is sound, and what is in it
    ///
    /// Reads all of it, which takes its time. The service may be running. Exits with 3 where something is wrong.
    Check,
    /// Print probes that came to an end, the oldest first
    ///
    /// As probe objects of the result document, one a line (JSON Lines), or as a table. Of a pass that is older than 7 days
    /// only figures are kept, and no words of servers. The service may be running.
    Export(Export),
    /// Let go of what is older than the config keeps it, now
    ///
    /// The service does this by itself. It must not be running.
    Prune,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Of this route alone
    #[arg(long)]
    route: Option<String>,
    /// Of this test alone: a payload's name, with its variant where it has one, such as "large 5 MiB"
    #[arg(long)]
    test: Option<String>,
    /// Of this verdict alone
    #[arg(long, value_enum)]
    verdict: Option<Judged>,
    #[arg(long, value_name = "TIME", help = format!("Due from then on: {}", times::HELP))]
    since: Option<String>,
    /// Due before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Judged {
    Pass,
    Warn,
    Unknown,
    Fail,
}

impl From<Judged> for Verdict {
    fn from(judged: Judged) -> Self {
        match judged {
            Judged::Pass => Self::Pass,
            Judged::Warn => Self::Warn,
            Judged::Unknown => Self::Unknown,
            Judged::Fail => Self::Fail,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Probe objects, one a line
    Json,
    /// A table
    Csv,
}

impl Store {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        match self {
            Self::Check => check(common).await,
            Self::Export(export) => export.run(common).await,
            Self::Prune => prune(common).await,
        }
    }
}

async fn check(common: &Common) -> Result<Exit> {
    let path = common.known_history().await?;
    let opened = match Reader::open(&path).await {
        Ok(reader) => reader.check().await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(checked) if checked.problems.is_empty() => {
            sound(common, &path, &checked)?;
            Ok(Exit::OK)
        }
        Ok(checked) => damaged(common, &path, &checked.problems, true),
        Err(error) if error.is_corruption() => {
            damaged(common, &path, &[format!("{:#}", Error::from(error))], false)
        }
        Err(error) => Err(error.into()),
    }
}

fn sound(common: &Common, path: &Path, checked: &Checked) -> Result<()> {
    let mut out = common.output();
    let schema = checked.schema.unwrap_or_default();
    writeln!(out, "{} is sound", path.display())?;
    writeln!(out, "  schema     {schema}")?;
    writeln!(out, "  size       {}", ByteSize(checked.bytes))?;
    let Some(counts) = &checked.counts else {
        return Ok(());
    };
    let Counts {
        probes,
        in_flight,
        details,
        days,
        incidents,
        outbox,
        oldest,
        newest,
    } = counts;
    writeln!(
        out,
        "  probes     {probes}, {in_flight} of them in flight, {details} with all that was seen"
    )?;
    if let (Some(oldest), Some(newest)) = (oldest, newest) {
        writeln!(out, "  due        {oldest:.0} to {newest:.0}")?;
    }
    writeln!(out, "  days       {days} reckoned, of all tests together")?;
    writeln!(out, "  incidents  {incidents}")?;
    writeln!(out, "  notices    {outbox} still to go out")?;
    Ok(())
}

fn damaged(common: &Common, path: &Path, problems: &[String], opens: bool) -> Result<Exit> {
    let mut out = common.output();
    let path = path.display();
    writeln!(out, "{path} is damaged:")?;
    for problem in problems {
        writeln!(out, "  {problem}")?;
    }
    let saved = if opens {
        "`mailrobin store export` prints what can still be read of it."
    } else {
        "`sqlite3 FILE .recover` may save some of it."
    };
    writeln!(
        out,
        "Stop the service, and put back a copy from before, if there is one. {saved} A service that cannot start with the \
         file sets it aside under another name and begins anew; to begin anew in any case, rename it yourself."
    )?;
    Ok(Exit::TROUBLE)
}

impl Export {
    async fn run(self, common: &Common) -> Result<Exit> {
        let now = Stamp::now().wall.to_zoned(times::zone(None)?);
        let moment = |text: &String| times::moment(text, &now);
        let mut wanted = Wanted {
            route: self.route.as_deref().map(Into::into),
            test: self.test,
            verdict: self.verdict.map(Into::into),
            settled: true,
            from: self.since.as_ref().map(moment).transpose()?,
            to: self.until.as_ref().map(moment).transpose()?,
            beyond: None,
            oldest_first: true,
            limit: PAGE,
        };
        let reader = Reader::open(&common.known_history().await?).await?;
        let out = BufWriter::new(common.output());
        let mut printed = match self.format {
            Format::Json => Printed::Lines(out),
            Format::Csv => Printed::Table(Box::new(ProbeTable::begin(out)?)),
        };
        loop {
            let page = reader.probes(&wanted).await?;
            printed.page(page.probes)?;
            wanted.beyond = page.beyond;
            if page.beyond.is_none() {
                break;
            }
        }
        printed.end()?;
        Ok(Exit::OK)
    }
}

/// Probes as they are printed, page by page.
enum Printed<W: Write> {
    Lines(W),
    Table(Box<ProbeTable<W>>),
}

impl<W: Write> Printed<W> {
    fn page(&mut self, probes: Vec<Value>) -> io::Result<()> {
        match self {
            Self::Lines(out) => lines(&probes, out),
            Self::Table(table) => table.write(probes),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Lines(mut out) => out.flush(),
            Self::Table(table) => table.end(),
        }
    }
}

async fn prune(common: &Common) -> Result<Exit> {
    let (plan, _) = common.plan().await?;
    let path = common.history(&plan.store)?;
    // Whoever prunes must neither make a history nor set a damaged one aside.
    Reader::open(&path).await?.close().await;
    let now = Stamp::now().wall;
    let Opened {
        mut writer, reader, ..
    } = Writer::open(&path, now).await?;
    while writer.reckon(now).await? {}
    let retention = Retention::of(&plan);
    let mut sum = Pruned::default();
    loop {
        let pruned = writer.prune(retention, now).await?;
        if pruned.is_nothing() {
            break;
        }
        sum += pruned;
    }
    reader.close().await;
    writer.close().await?;
    let Pruned {
        probes,
        details,
        incidents,
        pages: _,
    } = sum;
    writeln!(
        common.output(),
        "{}: {probes} probes and {incidents} incidents are gone, and what was kept beside {details} other probes",
        path.display()
    )?;
    Ok(Exit::OK)
}
