//! Taking our own probes away again, and nothing else: always by UID, never a bare EXPUNGE.

use std::collections::BTreeSet;

use super::session::{ImapError, Session, quoted, uid_set, unless_refused};
use crate::config::plan::Cleanup;

/// Maximum messages in one command.
const AT_ONCE: usize = 500;

/// Cleans up these messages of the selected folder, whose tags this session has shown. Those in `copied` have been copied to
/// where they are moved, and are only removed.
pub(super) async fn clean_up(
    session: &mut Session,
    cleanup: &Cleanup,
    uids: &[u32],
    copied: &mut BTreeSet<u32>,
) -> Result<(), ImapError> {
    for chunk in uids.chunks(AT_ONCE) {
        let set = uid_set(chunk);
        match cleanup {
            Cleanup::Keep => {}
            Cleanup::Seen => store(session, &set, "\\Seen").await?,
            Cleanup::Delete => delete(session, &set).await?,
            Cleanup::Move(folder) if session.can.mv => {
                relocate(session, "MOVE", &set, folder).await?;
            }
            Cleanup::Move(folder) => {
                let open = chunk.iter().filter(|uid| !copied.contains(uid));
                let open: Vec<_> = open.copied().collect();
                if !open.is_empty() {
                    relocate(session, "COPY", &uid_set(&open), folder).await?;
                    copied.extend(open);
                }
                expunge(session, &set).await?;
            }
        }
    }
    Ok(())
}

/// Why copies stay in the folder though they were cleaned up.
pub(super) fn remainder(session: &Session, cleanup: &Cleanup) -> Option<String> {
    if session.can.uidplus {
        return None;
    }
    match cleanup {
        Cleanup::Delete if session.trash.is_none() => Some(
            "the server does not offer UIDPLUS, so copies are only marked as deleted and stay until the folder is expunged"
                .into(),
        ),
        Cleanup::Move(folder) if !session.can.mv => Some(format!(
            "the server offers neither MOVE nor UIDPLUS, so copies are copied to {folder}, and the originals are only marked as deleted and stay until the folder is expunged"
        )),
        Cleanup::Keep | Cleanup::Seen | Cleanup::Delete | Cleanup::Move(_) => None,
    }
}

/// Moves or copies to a folder, which is created where it does not exist. Whether it exists then, only another try tells:
/// Dovecot may answer the CREATE that makes a folder with ALREADYEXISTS, and so does any server after another client's.
async fn relocate(
    session: &mut Session,
    verb: &str,
    set: &str,
    folder: &str,
) -> Result<(), ImapError> {
    let folder = quoted(folder);
    let command = format!("UID {verb} {set} {folder}");
    match session.run(&command, |_| ()).await {
        Err(ImapError::No { .. }) => {}
        other => return other,
    }
    unless_refused(session.run(&format!("CREATE {folder}"), |_| ()).await)?;
    session.run(&command, |_| ()).await
}

/// Deletes. On Gmail that would take a label away and leave the message in All Mail: there it is moved to the trash.
async fn delete(session: &mut Session, set: &str) -> Result<(), ImapError> {
    if let Some(trash) = &session.trash {
        let trash = quoted(trash);
        return session
            .run(&format!("UID MOVE {set} {trash}"), |_| ())
            .await;
    }
    expunge(session, set).await
}

/// Marks as deleted, and removes just these where the server can (RFC 4315). Where it cannot, they stay marked: a bare
/// EXPUNGE would take everybody's.
async fn expunge(session: &mut Session, set: &str) -> Result<(), ImapError> {
    store(session, set, "\\Deleted").await?;
    if session.can.uidplus {
        session.run(&format!("UID EXPUNGE {set}"), |_| ()).await?;
    }
    Ok(())
}

async fn store(session: &mut Session, set: &str, flag: &str) -> Result<(), ImapError> {
    session
        .run(&format!("UID STORE {set} +FLAGS.SILENT ({flag})"), |_| ())
        .await
}
