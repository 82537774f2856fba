//! Taking our own probes away again, and nothing else: always by UID, never a bare EXPUNGE.

use super::session::{ImapError, Session, quoted, uid_set};
use crate::config::plan::Cleanup;

/// Maximum messages in one command.
const AT_ONCE: usize = 500;

/// Cleans up these messages of the selected folder, whose tags this session has shown. Returns why they stay all the same,
/// where the server cannot take them away.
pub(super) async fn clean_up(
    session: &mut Session,
    cleanup: &Cleanup,
    uids: &[u32],
) -> Result<Option<String>, ImapError> {
    for chunk in uids.chunks(AT_ONCE) {
        let set = uid_set(chunk);
        match cleanup {
            Cleanup::Keep => {}
            Cleanup::Seen => store(session, &set, "\\Seen").await?,
            Cleanup::Delete => delete(session, &set).await?,
            Cleanup::Move(folder) => {
                relocate(session, &set, folder).await?;
                if !session.can.mv {
                    expunge(session, &set).await?;
                }
            }
        }
    }
    Ok(remainder(session, cleanup))
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

/// Moves, or copies where the server cannot move. The folder is created where it does not exist: that ends in success only
/// then, so a refusal for another reason stays one.
async fn relocate(session: &mut Session, set: &str, folder: &str) -> Result<(), ImapError> {
    let verb = if session.can.mv { "MOVE" } else { "COPY" };
    let folder = quoted(folder);
    let command = format!("UID {verb} {set} {folder}");
    let refused = match session.run(&command, |_| ()).await {
        Err(refused @ ImapError::No { .. }) => refused,
        other => return other,
    };
    match session.run(&format!("CREATE {folder}"), |_| ()).await {
        Ok(()) => session.run(&command, |_| ()).await,
        Err(ImapError::No { .. } | ImapError::Bad { .. }) => Err(refused),
        Err(error) => Err(error),
    }
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
