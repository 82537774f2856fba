//! `mailrobin lab`: the embedded mail stack by itself, with a config to test it with on standard output.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Exit};
use crate::lab::{FORWARDING_DOMAIN, Fault, Lab as Stack, LabConfig, MAILBOX_ADDRESS};

const USERNAME: &str = "probe";
const PASSWORD: &str = "probe";

/// Runs the embedded mail stack: an SMTP gateway, a forwarding rule, and a mailbox served by IMAP and POP3.
///
/// A complete config for it goes to standard output, its log to standard error. Lines on standard input change its
/// faults while it runs: `add FAULT`, `clear [KIND]`, `list`, `status`, `help`.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\nMessage faults take ,first=N ,every=N and ,to=LOCALPART.", Fault::catalogue()))]
pub(super) struct Lab {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    bind: IpAddr,
    /// The SMTP port; 0: any free one
    #[arg(long, default_value_t = 2525, value_name = "PORT")]
    smtp_port: u16,
    /// The IMAP port; 0: any free one
    #[arg(long, default_value_t = 2143, value_name = "PORT")]
    imap_port: u16,
    /// The POP3 port; 0: any free one
    #[arg(long, default_value_t = 2110, value_name = "PORT")]
    pop3_port: u16,
    /// Go wrong in this way (repeatable), for example `delay=2s`, `drop,every=3` or `reject=rcpt:550,to=imap`
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

impl Lab {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if !self.bind.is_loopback() {
            tracing::warn!(
                "the lab listens on {}, where others can reach it: its password is no secret",
                self.bind
            );
        }
        let stack = Stack::start(LabConfig {
            bind: self.bind,
            smtp_port: self.smtp_port,
            imap_port: self.imap_port,
            pop3_port: self.pop3_port,
            username: USERNAME.into(),
            password: PASSWORD.into(),
            faults: self.faults,
            foreign: 0,
        })
        .await?;
        // Whoever reads the config may end the lab at once.
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let mut out = common.output();
        writeln!(
            out,
            "# A running lab. Save this as lab.toml, then: mailrobin check -c lab.toml, or run -c lab.toml\n\n\
             [service]\nunsafe_intervals = true\n\n[defaults]\nevery = \"10s\"\nevery_harmful = \"30s\"\nfail_after = 2"
        )?;
        write!(out, "{}", servers(&stack, "lab"))?;
        write!(
            out,
            "{}",
            route(
                "imap",
                "lab",
                "lab-imap",
                "deadline = \"10s\"\nblind_grace = \"5s\""
            )
        )?;
        write!(
            out,
            "{}",
            route(
                "pop3",
                "lab",
                "lab-pop3",
                "deadline = \"10s\"\nblind_grace = \"5s\""
            )
        )?;
        out.flush()?;
        let control = stack.control();
        let mut lines = BufReader::new(stdin()).lines();
        let mut listening = true;
        loop {
            tokio::select! {
                line = lines.next_line(), if listening => match line {
                    Ok(Some(line)) if line.trim().is_empty() => {}
                    Ok(Some(line)) => match control.command(&line) {
                        Ok(answer) => common.say(&answer),
                        Err(error) => common.complain(&error.to_string()),
                    },
                    // Nobody will say anything more; the lab goes on.
                    Ok(None) | Err(_) => listening = false,
                },
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
        stack.stop().await;
        Ok(Exit::OK)
    }
}

/// The gateway and the two mailboxes of a lab as a config gives them: `NAME`, `NAME-imap` and `NAME-pop3`.
pub(super) fn servers(stack: &Stack, name: &str) -> String {
    let ca = format!("ca = '''\n{}'''", stack.ca_pem());
    let (smtp, imap, pop3) = (stack.smtp_addr(), stack.imap_addr(), stack.pop3_addr());
    let gateway = format!(
        "\n[gateways.{name}]\nhost = \"{}\"\nport = {}\ntls = \"starttls\"\n{ca}\n",
        smtp.ip(),
        smtp.port()
    );
    let mailbox = |protocol: &str, address: SocketAddr, junk: &str| {
        format!(
            "\n[mailboxes.{name}-{protocol}]\nprotocol = \"{protocol}\"\nhost = \"{}\"\nport = {}\n\
             tls = \"starttls\"\nusername = \"{USERNAME}\"\npassword = \"{PASSWORD}\"\n{junk}{ca}\n",
            address.ip(),
            address.port()
        )
    };
    // Only the faults that say `junk` file anything there, and POP3 shows no folder but INBOX.
    let no_junk = "# Nothing is filed as junk, unless a fault does so.\njunk = \"none\"\n";
    let mailboxes = [mailbox("imap", imap, ""), mailbox("pop3", pop3, no_junk)];
    gateway + &mailboxes.concat()
}

/// A route through a lab: to `NAME@` the forwarding domain, and back to `mailbox`.
pub(super) fn route(name: &str, gateway: &str, mailbox: &str, keys: &str) -> String {
    format!(
        "\n[routes.{name}]\ngateway = \"{gateway}\"\nmailbox = \"{mailbox}\"\nbounce_mailbox = \"{mailbox}\"\n\
         from = \"{MAILBOX_ADDRESS}\"\nto = \"{name}@{FORWARDING_DOMAIN}\"\n{keys}\n"
    )
}
