//! A notice as an HTTP POST: as JSON, or as the config's template has it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use super::error::DeliveryError;
use super::http::Request;
use crate::config::plan::Template;
use crate::config::secret::Secret;
use crate::config::template::render;
use crate::probe::notice::Notice;

/// Where to post.
pub(super) struct Webhook<'a> {
    pub(super) url: &'a Secret,
    pub(super) headers: &'a [(String, Secret)],
    pub(super) body: Option<&'a Template>,
    pub(super) ca: Option<&'a Arc<str>>,
    pub(super) limit: Duration,
}

impl Webhook<'_> {
    /// Posts the notice; what came back.
    pub(super) async fn deliver(self, notice: &Notice) -> Result<String, DeliveryError> {
        let (media_type, body) = match self.body {
            Some(template) => {
                let body = render(&template.text, notice).map_err(|why| {
                    DeliveryError::seldom(
                        format!("the template `body`: {why}"),
                        "nothing was sent: mend the template",
                    )
                })?;
                (template.content_type.as_str(), body.into_bytes())
            }
            None => ("application/json", json(notice)?),
        };
        let request = Request {
            method: Method::POST,
            url: self.url,
            headers: self.headers,
            body: Some((media_type, body)),
            ca: self.ca,
            limit: self.limit,
        };
        request.make().await
    }
}

/// The notice as JSON.
pub(super) fn json(notice: &Notice) -> Result<Vec<u8>, DeliveryError> {
    serde_json::to_vec(notice).map_err(|error| {
        let what = format!("the notice cannot be written as JSON: {error}");
        DeliveryError::seldom(what, "this is an error in mailrobin: please report it")
    })
}
