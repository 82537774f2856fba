//! Taking our own probes away again, and nothing else: always by UID, never a bare EXPUNGE.

use super::session::{ImapError, Session, quoted, uid_set};
use crate::config::plan::Cleanup;

/// So many messages in one command.
const AT_ONCE: usize = 500;

/// Cleans up these messages of the selected folder.
pub(super) async fn clean_up(
    session: &mut Session,
    cleanup: &Cleanup,
    uids: &[u32],
) -> Result<(), ImapError> {
    for chunk in uids.chunks(AT_ONCE) {
        let set = uid_set(chunk);
        match cleanup {
            Cleanup::Keep => {}
            Cleanup::Seen => store(session, &set, "\\Seen").await?,
            Cleanup::Delete => delete(session, &set).await?,
            Cleanup::Move(folder) => {
                let folder = quoted(folder);
                if session.can.mv {
                    session
                        .run(&format!("UID MOVE {set} {folder}"), |_| ())
                        .await?;
                } else {
                    session
                        .run(&format!("UID COPY {set} {folder}"), |_| ())
                        .await?;
                    expunge(session, &set).await?;
                }
            }
        }
    }
    Ok(())
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
