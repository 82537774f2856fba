//! Waiting cheaply with IDLE (RFC 2177).

use async_imap::imap_proto::Response;
use tokio::time::timeout;

use super::session::{ImapError, Session, ended, received};

const IDLE: &str = "IDLE";

impl Session {
    /// Waits until the server announces a message or `until` is done. Whether it announced one.
    pub async fn idle(&mut self, until: impl Future<Output = ()>) -> Result<bool, ImapError> {
        if self.news {
            return Ok(true);
        }
        let id = self.send(IDLE, IDLE).await?;
        let limit = self.limit;
        let mut started = false;
        tokio::pin!(until);
        while !(started && self.news) {
            let response = if started {
                tokio::select! {
                    () = &mut until => break,
                    response = self.inner.read_response() => Ok(response),
                }
            } else {
                timeout(limit, self.inner.read_response()).await
            };
            let response = received(IDLE, limit, response)?;
            match response.parsed() {
                Response::Continue(_) => started = true,
                Response::Done {
                    tag,
                    status,
                    outcome,
                } if *tag == id => return ended(IDLE, status, outcome).map(|()| self.news),
                other => self.note(other)?,
            }
        }
        let announced = self.news;
        self.send_more(IDLE, "DONE").await?;
        loop {
            let response = timeout(limit, self.inner.read_response()).await;
            match received(IDLE, limit, response)?.parsed() {
                Response::Done { tag, .. } if *tag == id => return Ok(announced),
                other => self.note(other)?,
            }
        }
    }
}
