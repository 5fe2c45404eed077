//! Registrations at Brani: missing ones created, moved URLs patched, our own doubles removed, strangers' left alone.
//!
//! A registration is ours when its URL begins with our public URL, or is our placeholder. Registering answers no
//! id: it is learned by listing again.

use crate::brani::model::Webhook;
use crate::brani::{Error, Service};
use crate::config::secret::Secret;
use crate::types::WebhookId;
use std::collections::BTreeMap;

/// What is registered where nothing can be pushed to: a name that resolves nowhere.
pub const PLACEHOLDER: &str = "https://drain-only.invalid/brani-sync";

/// What should be registered.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The event types.
    pub events: Vec<String>,
    /// Our public URL, if we can be reached.
    pub public_url: Option<url::Url>,
    /// The last segment of our URLs.
    pub secret: Option<Secret>,
    /// Registrations that exist and are only drained.
    pub ids: BTreeMap<String, i64>,
}

impl Wanted {
    /// The URL to register for an event type.
    pub fn url(&self, event: &str) -> String {
        match (&self.public_url, &self.secret) {
            (Some(base), Some(secret)) => {
                format!(
                    "{}/{event}/{}",
                    base.as_str().trim_end_matches('/'),
                    secret.expose()
                )
            }
            _ => format!("{PLACEHOLDER}/{event}"),
        }
    }

    /// Whether a registration is ours.
    pub fn is_ours(&self, webhook: &Webhook) -> bool {
        let ours = |base: &str| {
            webhook
                .webhook_url
                .strip_prefix(base)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        ours(PLACEHOLDER)
            || self
                .public_url
                .as_ref()
                .is_some_and(|base| ours(base.as_str().trim_end_matches('/')))
    }
}

/// One thing to do at Brani.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Register a type.
    Create(String),
    /// Move our registration to our present URL.
    Move(WebhookId, String),
    /// Remove our double, after its last drain.
    Remove(WebhookId, String),
}

/// What is to be done so that Brani's registrations equal the wanted ones: pure.
pub fn plan(have: &[Webhook], wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for event in &wanted.events {
        if wanted.ids.contains_key(event) {
            continue;
        }
        let url = wanted.url(event);
        let mut ours: Vec<&Webhook> = have
            .iter()
            .filter(|webhook| webhook.event_type == *event && wanted.is_ours(webhook))
            .collect();
        ours.sort_by_key(|webhook| (webhook.webhook_url != url, webhook.id));
        match ours.split_first() {
            None => steps.push(Step::Create(event.clone())),
            Some((keep, doubles)) => {
                if keep.webhook_url != url {
                    steps.push(Step::Move(keep.id, event.clone()));
                }
                steps.extend(
                    doubles
                        .iter()
                        .map(|double| Step::Remove(double.id, event.clone())),
                );
            }
        }
    }
    steps
}

/// The registrations that are not ours, of the wanted types.
pub fn strangers<'a>(have: &'a [Webhook], wanted: &Wanted) -> Vec<&'a Webhook> {
    have.iter()
        .filter(|webhook| wanted.events.contains(&webhook.event_type) && !wanted.is_ours(webhook))
        .collect()
}

/// A URL fit for a log: what follows the host may be a secret.
pub fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(parsed) => format!("{}://{}/…", parsed.scheme(), parsed.host_str().unwrap_or("?")),
        Err(_) => "(not a URL)".into(),
    }
}

/// Does the steps, doubles excepted: those are removed by [`remove_doubles`] after their last drain.
///
/// # Errors
/// Brani's; what was done before stands, and the plan is made anew next time.
pub async fn carry_out(service: &dyn Service, steps: &[Step], wanted: &Wanted) -> Result<u64, Error> {
    let mut done = 0;
    for step in steps {
        match step {
            Step::Create(event) => {
                service.register_webhook(event, &wanted.url(event)).await?;
                tracing::info!(event = "webhook.registered", kind = %event, "Registered a webhook for `{event}`");
            }
            Step::Move(id, event) => {
                service.move_webhook(*id, &wanted.url(event)).await?;
                tracing::info!(event = "webhook.moved", kind = %event, webhook = id.0, "Moved the webhook for `{event}` to our URL");
            }
            Step::Remove(..) => continue,
        }
        done += 1;
    }
    Ok(done)
}

/// Removes our doubles; to be called after a complete drain.
///
/// # Errors
/// Brani's.
pub async fn remove_doubles(service: &dyn Service, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        if let Step::Remove(id, event) = step {
            service.remove_webhook(*id).await?;
            tracing::info!(event = "webhook.removed", kind = %event, webhook = id.0, "Removed our second webhook for `{event}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Step, Wanted, plan, shown, strangers};
    use crate::brani::model::Webhook;
    use crate::config::secret::Secret;
    use crate::types::WebhookId;
    use std::collections::BTreeMap;

    fn wanted() -> Wanted {
        Wanted {
            events: vec!["status_change".into()],
            public_url: Some("https://shop.example.cz/brani".parse().unwrap()),
            secret: Some(Secret::new("0123456789abcdef")),
            ids: BTreeMap::new(),
        }
    }

    fn hook(id: i64, url: &str) -> Webhook {
        Webhook {
            id: WebhookId(id),
            event_type: "status_change".into(),
            webhook_url: url.into(),
        }
    }

    #[test]
    fn missing_registration_is_created() {
        assert_eq!(plan(&[], &wanted()), [Step::Create("status_change".into())]);
    }

    #[test]
    fn right_registration_is_left_alone() {
        let have = [hook(
            1,
            "https://shop.example.cz/brani/status_change/0123456789abcdef",
        )];
        assert_eq!(plan(&have, &wanted()), []);
    }

    #[test]
    fn old_secret_is_moved_and_double_removed() {
        let have = [
            hook(1, "https://shop.example.cz/brani/status_change/old"),
            hook(2, "https://shop.example.cz/brani/status_change/older"),
        ];
        let event = || "status_change".to_owned();
        assert_eq!(
            plan(&have, &wanted()),
            [
                Step::Move(WebhookId(1), event()),
                Step::Remove(WebhookId(2), event())
            ]
        );
    }

    #[test]
    fn stranger_is_named_and_never_touched() {
        let have = [hook(
            7,
            "https://shop.example.cz/branislava/script.php?key=secret",
        )];
        assert_eq!(plan(&have, &wanted()), [Step::Create("status_change".into())]);
        assert_eq!(strangers(&have, &wanted()).len(), 1);
        assert_eq!(shown(&have[0].webhook_url), "https://shop.example.cz/…");
    }

    #[test]
    fn registration_given_by_id_is_only_drained() {
        let wanted = Wanted {
            ids: BTreeMap::from([("status_change".into(), 251)]),
            ..wanted()
        };
        assert_eq!(plan(&[], &wanted), []);
    }
}
